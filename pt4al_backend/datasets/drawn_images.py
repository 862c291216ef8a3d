"""Images with a mask each, for segmentation: drawn street scenes, or one's own."""

import colorsys
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Self
from xml.sax.saxutils import quoteattr

import numpy as np

from pt4al_backend.aliases import ClassIds, Json
from pt4al_backend.datasets import scenes
from pt4al_backend.datasets.dataset import Size
from pt4al_backend.datasets.folder_images import FolderImages, Reader, files, reasons, split
from pt4al_backend.datasets.mask_png import MaskPng, ids_of, numbers, require_size
from pt4al_backend.errors import ConfigError, ImageUnreadable
from pt4al_backend.images.mask_files import MOST_CLASSES, UNLABELLED
from pt4al_backend.label_studio import outlines
from pt4al_backend.label_studio.label_config import SegmentationConfig

SCENES = 240
EPOCHS = 20  # of a round's training on them; the usual number of steps would take four times as long
NAMES = "classes.txt"
#: Names of what is no class: its pixels stay unlabelled.
VOID = {"", "ignore", "unlabeled", "unlabelled", "void"}
LAYOUT = (
    "MASKS (--masks) names a folder that has for each image a PNG of the same name and size whose pixels are class numbers; "
    f"{NAMES} in it names the classes from number 0 on, a line each."
)


@dataclass(frozen=True, eq=False)
class DrawnImages(FolderImages):
    """``masks`` are the images' masks, ``ids`` what the numbers in them stand for, as `ids_of` makes it."""

    masks: Mapping[Path, Path] = field(default_factory=dict)
    ids: ClassIds = field(default_factory=lambda: ids_of(()))

    task: ClassVar[str] = "segmentation"

    @classmethod
    def made(cls, folder: Path, reader: Reader) -> Self:
        """Street scenes."""
        images, masks = folder / "images", folder / "masks"
        scenes.write(images, masks, SCENES)
        found = cls.given(images, masks, reader)
        return replace(found, source=f"{SCENES} drawn street scenes", params={**found.params, "epochs": EPOCHS})

    @classmethod
    def given(cls, images: Path, masks: Path | None, reader: Reader) -> Self:
        """Any images; their masks have the same names and lie in the same sub-folders of ``masks``.

        Where ``masks`` has a folder ``trainannot``, the masks of the folder ``train`` lie there; and so on.
        """
        if masks is None or not masks.is_dir():
            raise ConfigError(f"There is no folder {masks}." if masks else "Segmentation needs a mask for each image.", LAYOUT)
        rng = random.Random(0)

        def find(folder: Path) -> dict[Path, str]:
            return {path: "" for path in files(folder) if masks in (images, folder) or not path.is_relative_to(masks)}

        pool, test = (list(side) for side in split(images, find, rng))
        mask_of = {path: _mask_of(path.relative_to(images), masks) for path in [*pool, *test]}
        seen, unreadable = reader.read(list(mask_of), lambda path: _look(path, mask_of[path], reader))
        pool, test = [path for path in pool if path in seen], [path for path in test if path in seen]
        if not pool or not test:
            side = "pool" if not pool else "test set"
            raise ConfigError(f"No image of {images} with a mask is left for the {side}.", f"{LAYOUT}{reasons(unreadable)}")
        names = _names(masks, {mask_of[path]: held for path, (_, held) in seen.items()})
        rng.shuffle(pool)
        return cls(
            source=f"the images of {images}",
            classes=tuple(names.values()),
            pool=pool,
            test=test,
            sizes=[seen[path][0] for path in pool],
            unreadable=unreadable,
            params={"unlabelled": "ignore"},
            masks=mask_of,
            ids=ids_of(names),
        )

    def label_config(self) -> str:
        """Asks to paint the classes."""
        labels = "\n".join(
            f"    <Label value={quoteattr(name)} background={quoteattr(_colour(number))}/>"
            for number, name in enumerate(self.classes)
        )
        return (
            '<View>\n  <Image name="image" value="$image" zoom="true" zoomControl="true"/>\n'
            f'  <BrushLabels name="label" toName="image">\n{labels}\n  </BrushLabels>\n</View>\n'
        )

    def regions(self, path: Path) -> list[Json]:
        assert isinstance(self.config, SegmentationConfig)  # noqa: S101 - its own
        return outlines.regions_of(self.answer(path).mask(), self.config)

    def words(self, path: Path) -> str:
        shown = np.unique(self.answer(path).mask().ids).tolist()
        return ", ".join(self.classes[number] for number in shown if number != UNLABELLED)

    def answer(self, path: Path) -> MaskPng:
        return MaskPng(self.masks[path], self.ids)


def _mask_of(image: Path, masks: Path) -> Path:
    """The mask of an image, whose path is relative."""
    first, *others = image.with_suffix(".png").parts
    annot = masks / f"{first}annot"  # as the copies of CamVid have it
    return (annot if annot.is_dir() else masks / first).joinpath(*others)


def _look(image: Path, mask: Path, reader: Reader) -> tuple[Size, set[int]]:
    """An image's size, and the numbers in its mask."""
    if image == mask:
        raise ImageUnreadable("It would be its own mask.")
    size = reader.size(image)
    found = numbers(mask, reader.max_pixels)
    require_size(size, found)
    return size, set(np.unique(found).tolist())


def _names(masks: Path, used: Mapping[Path, set[int]]) -> dict[int, str]:
    """The class that each number stands for; ``used`` are the numbers in each mask."""
    file = masks / NAMES
    if file.is_file():
        lines = [" ".join(line.split()) for line in file.read_text("utf-8", "replace").rstrip().splitlines()]
        if len(lines) > MOST_CLASSES:
            raise ConfigError(f"{file} names {len(lines)} classes; {MOST_CLASSES} are the most.", LAYOUT)
        for mask, held in used.items():
            if unnamed := held - set(range(len(lines))) - {UNLABELLED}:
                raise ConfigError(f"{mask} holds the number {min(unnamed)}, but {file} names {len(lines)} classes.", LAYOUT)
        names = {number: name for number, name in enumerate(lines) if name.lower() not in VOID}
    else:
        names = {number: f"class {number}" for number in sorted(set().union(*used.values()) - {UNLABELLED})}
    if len(set(names.values())) < max(2, len(names)):
        raise ConfigError(f"The masks in {masks} need two classes or more, each with a name of its own.", LAYOUT)
    return names


def _colour(number: int) -> str:
    hue = (0.58 + number * (math.sqrt(5) - 1) / 2) % 1  # no two alike, however many there are
    return "#" + "".join(f"{round(255 * part):02x}" for part in colorsys.hsv_to_rgb(hue, 0.75, 0.95 - 0.25 * (number % 2)))
