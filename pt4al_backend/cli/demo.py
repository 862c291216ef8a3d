"""``pt4al demo``: the whole loop, shown."""

from pathlib import Path
from typing import Annotated

import typer

from pt4al_backend.config.catalog import TaskName


def demo(
    task: Annotated[
        TaskName, typer.Option(help="What the annotators do: choose a class for an image, or several, or draw.")
    ] = TaskName.CLASSIFICATION,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Folder of images: one sub-folder for each class; for multilabel any, with `labels.json`, an object of each "
            "image's path and the list of its classes; for segmentation any, with --masks. `train` and `test` in it are pool and "
            "test set. Without a folder: handwritten digits, drawn shapes, or drawn street scenes."
        ),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(
            help="Segmentation: folder that has for each image a PNG of the same name whose pixels are class numbers, and "
            "`classes.txt`, the classes' names from number 0 on, a line each. The number 255 and a class `void` stay unlabelled."
        ),
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds to label; else as many as take some minutes.")] = None,
    stay: Annotated[bool, typer.Option(help="Stay up afterwards, so that you can click through it.")] = True,
    folder: Annotated[Path, typer.Option(help="Where everything goes that the demo writes.")] = Path(".demo"),
    label_studio: Annotated[Path, typer.Option(help="Label Studio's command.")] = Path("label-studio"),
) -> None:
    """Shows the whole loop on a Label Studio of its own, with two annotators who know the answers."""
    from pt4al_backend.demo.show import run

    run(task=task, images=images, masks=masks, rounds=rounds, stay=stay, folder=folder, label_studio=label_studio)
