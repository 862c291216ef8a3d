"""A data set whose labels are all known, decoded once: what an oracle answers from."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend import artefacts
from pt4al_backend.datasets.images import Images
from pt4al_backend.frames import KEEP, Shape, choose
from pt4al_backend.images import decode
from pt4al_backend.masks import Masks
from pt4al_backend.pixels import Pixels

Progress = Callable[[int, int], None]

_PIXELS, _LABELS, _MASKS = "pixels.u8", "labels.npy", "masks"


@dataclass(frozen=True)
class Truth:
    """A data set with all its labels.

    Attributes:
        task: the main task.
        classes: what a model learns.
        pixels: the image store: the pool's frames first, then those of the test images.
        shape: of the frames that networks see.
        stored: of the frames in the store.
        labels: of the pool, then of the test images: names of classes, or of masks.
        pool: how many images the pool has.
        masks: folder of the masks, if labels are masks.
        params: settings that suit the images, as a project's extra params.
    """

    task: str
    classes: tuple[str, ...]
    pixels: Path
    shape: Shape
    stored: Shape
    labels: NDArray[np.str_]
    pool: int
    masks: Path
    params: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> "Truth":
        """Reads what ``write`` wrote.

        Raises:
            StoreCorrupt: it is missing or damaged.
        """
        said = artefacts.manifest(folder)
        shape, stored = ((int(height), int(width)) for height, width in (said["shape"], said["stored"]))
        labels = np.load(folder / _LABELS, allow_pickle=False)
        task, classes, pool = str(said["task"]), tuple(said["classes"]), int(said["pool"])
        return cls(task, classes, folder / _PIXELS, shape, stored, labels, pool, folder / _MASKS, dict(said["params"]))

    def lesson(self, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Rows with their labels, as a job holds them."""
        return {"rows": rows, "labels": self.labels[rows]}

    @property
    def test(self) -> NDArray[np.int64]:
        """Rows of the test images."""
        return np.arange(self.pool, len(self.labels), dtype=np.int64)


def write(folder: Path, images: Images, *, gpu: bool, image_size: int | None, max_pixels: int, on_progress: Progress) -> Truth:
    """Decodes a data set into ``folder``, framed as a project of these images would be."""
    shape, stored = choose(images.task, images.sizes, gpu=gpu, asked=image_size)
    files = [*images.pool, *images.test]

    def frame(path: Path) -> NDArray[np.uint8]:
        return KEEP[images.task](decode(path.read_bytes(), max_pixels, max(stored)), stored)

    said = {"task": images.task, "classes": images.classes, "shape": shape, "stored": stored, "pool": len(images.pool)}
    with artefacts.writing(folder, **said, params=dict(images.params), source=images.source) as draft:
        with Pixels(draft / _PIXELS, stored) as pixels, ThreadPoolExecutor(os.cpu_count()) as threads:
            for row, each in enumerate(threads.map(frame, files)):
                pixels.write(row, each)
                on_progress(row + 1, len(files))
        np.save(draft / _LABELS, np.array(images.labels(files, Masks(draft / _MASKS)), np.str_))
    return Truth.load(folder)
