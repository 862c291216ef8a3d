"""A data set whose labels are all known, decoded once: what an oracle answers from."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from pt4al_backend import artefacts
from pt4al_backend.datasets.dataset import Dataset, Example, Size
from pt4al_backend.errors import ConfigError, ImageUnreadable, StoreCorrupt
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.frames import KEEP, SMALL, Shape, choose, digest
from pt4al_backend.images.mask_files import Mask, MaskFiles

LOOKED_AT = 200  # images of the pool whose sizes say what frame suits all
TOGETHER = 256  # images that are decoded at a time: more in memory would gain nothing

_PIXELS, _LABELS, _IDS, _MASKS = "pixels.u8", "labels.npy", "ids.npy", "masks"


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
        source: what the data set is, for people.
        ids: the images' names in the data set, of the pool, then of the test images.
        digest: of the frames in the store.
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
    source: str = ""
    ids: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, np.str_))
    digest: str = ""

    @classmethod
    def load(cls, folder: Path) -> "Truth":
        """Reads what ``write`` wrote.

        Raises:
            StoreCorrupt: it is missing or damaged.
        """
        manifest = artefacts.manifest(folder)
        shape, stored = ((int(height), int(width)) for height, width in (manifest["shape"], manifest["stored"]))
        try:
            labels, ids = (np.load(folder / name, allow_pickle=False) for name in (_LABELS, _IDS))
        except (OSError, ValueError) as error:
            raise StoreCorrupt(
                f"The data set in {folder} cannot be read ({error}).", "Delete it, or name another folder."
            ) from error
        task, classes, pool = str(manifest["task"]), tuple(manifest["classes"]), int(manifest["pool"])
        pixels, masks, params = folder / _PIXELS, folder / _MASKS, dict(manifest["params"])
        source, digest = str(manifest["source"]), str(manifest["files"][_PIXELS])
        return cls(task, classes, pixels, shape, stored, labels, pool, masks, params, source, ids, digest)

    def training_data(self, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Rows with their labels, as a job holds them."""
        return {"rows": rows, "labels": self.labels[rows]}

    @property
    def test(self) -> NDArray[np.int64]:
        """Rows of the test images."""
        return np.arange(self.pool, len(self.labels), dtype=np.int64)


def origins_of(truth: Truth) -> NDArray[np.int64]:
    """For each image of the pool, the first that is identical to it, which may be itself: int64[pool]."""
    return _origins(truth.pixels, truth.stored, truth.pool, truth.digest)


@lru_cache(maxsize=4)
def _origins(pixels: Path, stored: Shape, pool: int, _digest: str) -> NDArray[np.int64]:
    first: dict[str, int] = {}
    with FrameFile(pixels, stored) as frames:
        found = [first.setdefault(digest(frames.read(np.array([row]))[0]), row) for row in range(pool)]
    return np.array(found, np.int64)


def write(
    folder: Path,
    found: Dataset,
    *,
    gpu: bool,
    image_size: int | None,
    max_pixels: int,
    asked: Mapping[str, Any] | None = None,
) -> Truth:
    """Decodes a data set into ``folder``, framed as a project of these images would be.

    ``asked`` is whatever the caller wants to find in the manifest, under that name.

    Raises:
        ConfigError: an image or its mask cannot be used.
    """
    examples = [*found.pool, *found.test]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        sizes = list(threads.map(lambda example: _decoded(example, max_pixels, SMALL)[1], found.pool[:LOOKED_AT]))
        shape, stored = choose(found.task, sizes, gpu=gpu, requested=image_size)

        def look(example: Example) -> tuple[NDArray[np.uint8], str | Mask]:
            image, _, label = _decoded(example, max_pixels, max(stored))
            return KEEP[found.task](image, stored), label

        facts = {"task": found.task, "classes": found.classes, "shape": shape, "stored": stored, "pool": len(found.pool)}
        more = {"params": dict(found.params), "source": found.source, "asked": asked}
        labels: list[str] = []
        with artefacts.writing(folder, **facts, **more) as draft:
            masks = MaskFiles(draft / _MASKS)
            with FrameFile(draft / _PIXELS, stored) as pixels:
                for start in range(0, len(examples), TOGETHER):
                    for frame, label in threads.map(look, examples[start : start + TOGETHER]):
                        pixels.write(len(labels), frame)
                        labels.append(label if isinstance(label, str) else masks.put(label))
            np.save(draft / _LABELS, np.array(labels, np.str_))
            np.save(draft / _IDS, np.array([example.id for example in examples], np.str_))
    return Truth.load(folder)


def _decoded(example: Example, max_pixels: int, size_hint: int) -> tuple[Image, Size, str | Mask]:
    """An example's image, its own size, and its label."""
    try:
        image, size = example.decode(max_pixels, size_hint)
        return image, size, example.label(max_pixels, size)
    except ImageUnreadable as error:
        remedy = "Get the data set again, or take the image out of it."
        raise ConfigError(f"{example.id} of the data set cannot be used. {error.message}", remedy) from error
