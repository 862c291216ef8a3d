"""Images sorted into one sub-folder for each class, for classification: handwritten digits, or one's own."""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

from pt4al_backend.datasets import digits
from pt4al_backend.datasets.chosen_images import ChosenImages
from pt4al_backend.datasets.folder_images import SUFFIXES, Reader, files, reasons, sides, split, sub_folders
from pt4al_backend.errors import ConfigError
from pt4al_backend.label_studio.classification import ChoicesReader, ClassificationReader


@dataclass(frozen=True)
class SortedImages(ChosenImages):
    """``chosen`` is each image's class."""

    task: ClassVar[str] = "classification"
    choice: ClassVar[str] = "single"
    label_reader: ClassVar[type[ChoicesReader]] = ClassificationReader

    @classmethod
    def made(cls, folder: Path, reader: Reader) -> Self:
        """scikit-learn's handwritten digits."""
        found = cls.given(write_digits(folder / "images"), None, reader)
        # the scans have 8 x 8 pixels, and no more to learn after some epochs
        return replace(found, source="handwritten digits, 1,797 scans", params={"image_size": 16, "pretext_epochs": 6})

    @classmethod
    def given(cls, images: Path, masks: Path | None, reader: Reader) -> Self:
        """``CLASS/…``, or ``train/CLASS/…`` and ``test/CLASS/…``."""
        if masks is not None:
            raise ConfigError("Images of a class each have no masks.", "Leave MASKS (--masks) out, or set TASK=segmentation.")
        rng = random.Random(0)
        pool, test = split(images, by_class, rng)
        sizes, unreadable = reader.read([*pool, *test], reader.size)
        pool = {path: name for path, name in pool.items() if path in sizes}
        test = {path: name for path, name in test.items() if path in sizes}
        classes = _classes(images, Counter(pool.values()), Counter(test.values()), unreadable)
        order = list(pool)
        rng.shuffle(order)
        known = {**pool, **test}
        return cls(f"the images of {images}", classes, order, list(test), [sizes[path] for path in order], unreadable, {}, known)

    def words(self, path: Path) -> str:
        return self.chosen[path]


def write_digits(folder: Path) -> Path:
    """Writes scikit-learn's 1,797 handwritten digits as PNG files, a sub-folder for each digit; returns ``folder``."""
    for number, (scan, name) in enumerate(digits.scans()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        scan.save(folder / name / f"scan-{number:04}.png")
    return folder


def by_class(folder: Path) -> dict[Path, str]:
    """Files below each sub-folder, with its name; hidden ones are passed over."""
    return {path: each.name for each in sub_folders(folder) for path in files(each)}


def _classes(folder: Path, pool: Counter[str], test: Counter[str], unreadable: Mapping[Path, str]) -> tuple[str, ...]:
    classes = sorted({each.name for side in sides(folder) for each in sub_folders(side)}) if pool | test else []
    layout = f"Make one sub-folder for each class, with images ({', '.join(sorted(SUFFIXES))}) in it.{reasons(unreadable)}"
    if not classes:
        raise ConfigError(f"There are no images in sub-folders of {folder}.", layout)
    if len(classes) < 2:
        raise ConfigError(f"{folder} holds images of one class only, {classes[0]!r}.", layout)
    for name in classes:
        if name != " ".join(name.split()):
            raise ConfigError(f"The class {name!r} has white space that Label Studio would change.", "Rename its folder.")
        if not pool[name] or not test[name]:
            side = "pool" if not pool[name] else "test set"
            raise ConfigError(
                f"The class {name!r} has no image in the {side}.", f"Add images, at least two a class.{reasons(unreadable)}"
            )
    return tuple(classes)
