"""Small folders of images with known answers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pt4al_backend.datasets.drawn_images import DrawnImages
from pt4al_backend.datasets.folder_images import FolderImages, Reader
from pt4al_backend.datasets.sorted_images import SortedImages
from pt4al_backend.datasets.tagged_images import NAMES, TaggedImages
from pt4al_backend.images.mask_files import MaskFiles
from pt4al_backend.label_studio.annotations import LabelReader
from pt4al_backend.label_studio.classification import ClassificationReader
from pt4al_backend.label_studio.label_config import MultilabelConfig, SegmentationConfig
from pt4al_backend.label_studio.multilabel import MultilabelReader
from pt4al_backend.label_studio.segmentation import SegmentationReader

READER = Reader(max_pixels=1_000_000)
KINDS = {each.task: each for each in (SortedImages, TaggedImages, DrawnImages)}


def save(folder: Path, count: int, size: tuple[int, int] = (8, 8), suffix: str = ".png") -> None:
    """Writes shades of grey."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", size, (i, i, i)).save(folder / f"{i}{suffix}")


def save_masks(folder: Path, count: int, size: tuple[int, int] = (8, 8), numbers: tuple[int, int] = (0, 1)) -> None:
    """Writes masks whose left and right halves are of the two numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = np.full(size[::-1], numbers[0], np.uint8)
    ids[:, size[0] // 2 :] = numbers[1]
    for i in range(count):
        Image.fromarray(ids).save(folder / f"{i}.png")


def of_task(task: str, folder: Path, count: int = 12, size: tuple[int, int] = (8, 8)) -> FolderImages:
    """Images for a main task: cats or dogs, both or none; or skies over roads."""
    if task == "classification":
        for name in ("cat", "dog"):
            save(folder / name, count // 2, size)
        return SortedImages.given(folder, None, READER)
    if task == "multilabel":
        save(folder, count, size)
        files = sorted(folder.glob("*.png"))
        shown: list[list[str]] = [["cat"], ["cat", "dog"], [], ["dog"]]
        (folder / NAMES).write_text(json.dumps({path.name: shown[k % 4] for k, path in enumerate(files)}))
        return TaggedImages.given(folder, None, READER)
    save(folder / "images", count, size)
    save_masks(folder / "masks", count, size)
    (folder / "masks" / "classes.txt").write_text("sky\nroad\n")
    return DrawnImages.given(folder / "images", folder / "masks", READER)


def label_of(images: FolderImages, regions: list[dict[str, Any]], masks: MaskFiles) -> str | None:
    """The label that the backend reads from what was submitted; a drawing goes into ``masks``."""
    config = images.config
    labelling: LabelReader
    if isinstance(config, SegmentationConfig):
        labelling = SegmentationReader(config, masks, lambda: masks, READER.max_pixels)
    else:
        labelling = (MultilabelReader if isinstance(config, MultilabelConfig) else ClassificationReader)(config)
    return labelling.answer_of([{"result": regions}]).label
