"""``pt4al demo``: the whole loop on a Label Studio of its own, with two annotators who know the answers."""

from pathlib import Path


def run(*, task: str, folder: Path, rounds: int, images: Path | None, masks: Path | None, label_studio: Path, stay: bool) -> None:
    """Runs the demo; see `pt4al_backend.demo.show.run`, which is imported here and not before.

    ``guard`` lies in this package too, and runs beside each server for as long as that does: it must stay small.
    """
    from pt4al_backend.demo.show import run as show

    show(task=task, folder=folder, rounds=rounds, images=images, masks=masks, label_studio=label_studio, stay=stay)
