"""Folders of images with known answers, for one main task: what the demo's annotators see and say.

All that the demo does differently for one main task and another is here, one class for each: ``sorted_images`` and
``drawn_images``. The benchmark reads of them what any data set has: see ``folder``.
"""

import os
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from pt4al_backend.aliases import Json
from pt4al_backend.datasets.dataset import Answer, Size
from pt4al_backend.errors import ConfigError, ImageUnreadable
from pt4al_backend.images.decode import decode
from pt4al_backend.images.frames import SMALL
from pt4al_backend.images.mask_files import MaskFiles
from pt4al_backend.label_studio.label_config import LabelConfig, parse

#: What Label Studio's upload takes and the backend reads.
SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp"}
HELD_OUT = 0.25  # for the test, where a folder names no test images
SHOWN = 5  # unreadable files that an error names

Found = TypeVar("Found")


@dataclass(frozen=True)
class Reader:
    """Reads image files that may be broken; ``on_progress`` is called with (done, total)."""

    max_pixels: int
    on_progress: Callable[[int, int], None] = lambda _done, _total: None

    def size(self, path: Path) -> Size:
        """Width and height of an image.

        Raises:
            ImageUnreadable: it cannot be decoded.
        """
        return decode(path.read_bytes(), self.max_pixels, SMALL).size

    def read(self, paths: Sequence[Path], look: Callable[[Path], Found]) -> tuple[dict[Path, Found], dict[Path, str]]:
        """What ``look`` gives for each file, and why it raised ImageUnreadable or OSError for the others."""

        def try_to_look(path: Path) -> tuple[Found | None, str]:
            try:
                return look(path), ""
            except ImageUnreadable as error:
                return None, error.message
            except OSError as error:
                return None, f"It cannot be read ({error.strerror})."

        found: dict[Path, Found] = {}
        unreadable: dict[Path, str] = {}
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for done, (path, (each, reason)) in enumerate(zip(paths, threads.map(try_to_look, paths), strict=True), 1):
                if each is None:
                    unreadable[path] = reason
                else:
                    found[path] = each
                self.on_progress(done, len(paths))
        return found, unreadable


@dataclass(frozen=True)
class FolderImages(ABC):
    """A pool and a test set.

    Attributes:
        source: what they are, for people.
        classes: what a model learns, in the order of the labeling config.
        pool: files, in random order, as images come.
        test: files that are never in the pool.
        sizes: of the pool's images.
        unreadable: files that were left out, and why.
        params: settings of the project that suit them.
    """

    source: str
    classes: tuple[str, ...]
    pool: Sequence[Path]
    test: Sequence[Path]
    sizes: Sequence[Size]
    unreadable: Mapping[Path, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)

    task: ClassVar[str]

    @classmethod
    @abstractmethod
    def made(cls, folder: Path, reader: Reader) -> Self:
        """Images that need no download, written into ``folder``.

        Raises:
            ConfigError: what they are made from is not installed.
        """

    @classmethod
    @abstractmethod
    def given(cls, images: Path, masks: Path | None, reader: Reader) -> Self:
        """A person's own, from the folders that IMAGES and MASKS name.

        Raises:
            ConfigError: they hold nothing that a model can learn, and what to change.
        """

    @abstractmethod
    def label_config(self) -> str:
        """A labeling config with the classes."""

    @cached_property
    def config(self) -> LabelConfig:
        """What the backend reads from it."""
        return parse(self.label_config())

    @abstractmethod
    def regions(self, path: Path) -> list[Json]:
        """What an annotator submits who knows the answer."""

    @abstractmethod
    def words(self, path: Path) -> str:
        """The answer, for people."""

    @abstractmethod
    def answer(self, path: Path) -> Answer:
        """The answer to one of its images: the class, or the mask."""

    def labels(self, paths: Sequence[Path], masks: MaskFiles) -> list[str]:
        """The answers as trainings take them: names of classes, or of masks, which are put into ``masks``."""
        answers = (self.answer(path) for path in paths)
        return [each if isinstance(each, str) else masks.put(each.mask()) for each in answers]


def split(
    folder: Path, find: Callable[[Path], Mapping[Path, str]], rng: random.Random
) -> tuple[dict[Path, str], dict[Path, str]]:
    """Pool and test of the files and their groups that ``find`` finds.

    Where ``sides`` has no two, a random quarter of each group is the test's, one file at least, none of a single file.

    Raises:
        ConfigError: no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"There is no folder {folder}.", "IMAGES (--images) names the folder of the images.")
    parts = sides(folder)
    if len(parts) == 2:
        return dict(find(parts[0])), dict(find(parts[1]))
    groups: dict[str, list[Path]] = {}
    for path, group in find(folder).items():
        groups.setdefault(group, []).append(path)
    pool: dict[Path, str] = {}
    held_out: dict[Path, str] = {}
    for group, members in groups.items():
        rng.shuffle(members)
        held = max(1, round(HELD_OUT * len(members))) if len(members) > 1 else 0
        held_out |= dict.fromkeys(members[:held], group)
        pool |= dict.fromkeys(members[held:], group)
    return pool, held_out


def sides(folder: Path) -> tuple[Path, ...]:
    """The folders of pool and test, where a folder has ``train`` and ``test``; else the folder alone."""
    train, test = folder / "train", folder / "test"
    return (train, test) if train.is_dir() and test.is_dir() else (folder,)


def sub_folders(folder: Path) -> list[Path]:
    """Folders in it, by name; hidden ones are passed over."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def files(folder: Path) -> list[Path]:
    """Image files at any depth, by name; hidden ones are passed over."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def reasons(unreadable: Mapping[Path, str]) -> str:
    """The first files that were left out, a line each, for the end of a remedy."""
    return "".join(f"\n{path}: {reason}" for path, reason in list(unreadable.items())[:SHOWN])
