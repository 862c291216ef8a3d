"""A data set whose labels are all known, decoded once: what an oracle answers from."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
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
        pixels: the image store: the pool's frames first, then those of the test images. Its rows name images everywhere.
        shape: of the frames that networks see.
        stored: of the frames in the store.
        labels: of the pool, then of the test images: names of classes, or of masks.
        pool: how many images the pool has.
        masks: folder of the masks, if labels are masks.
        params: settings that suit the images, as a project's extra params.
        source: what the data set is, for people.
        ids: the images' names in the data set, of the pool, then of the test images.
        digest: of the frames in the store.
        redraw: whether each seed draws its own pool and test from all images (see ``of_seed``).
        drawn: rows of the pool, then of the test, where these were drawn; None: in the order of the store.
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
    redraw: bool = False
    drawn: NDArray[np.int64] | None = None

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
        redraw = bool(manifest.get("redraw"))
        return cls(task, classes, pixels, shape, stored, labels, pool, masks, params, source, ids, digest, redraw)

    def of_seed(self, seed: int) -> "Truth":
        """The same with the pool and the test of a seed; nothing changes unless the data set is one to ``redraw``.

        Both keep their number of images of each class (or set of classes): the images of a class change places among
        themselves.
        """
        if not self.redraw:
            return self
        groups = np.zeros(len(self.labels)) if self.task == "segmentation" else self.labels
        shuffled = np.random.default_rng(seed).permutation(len(groups))
        drawn = np.empty(len(groups), np.int64)
        drawn[np.argsort(groups, kind="stable")] = shuffled[np.argsort(groups[shuffled], kind="stable")]
        return replace(self, drawn=np.concatenate([np.sort(drawn[: self.pool]), np.sort(drawn[self.pool :])]))

    def training_data(self, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Rows with their labels, as a job holds them."""
        return {"rows": rows, "labels": self.labels[rows]}

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows of the pool's images, ascending."""
        return self._order[: self.pool]

    @property
    def test(self) -> NDArray[np.int64]:
        """Rows of the test images, ascending."""
        return self._order[self.pool :]

    @property
    def end(self) -> int:
        """The first row that no seed has in its pool, nor any behind it."""
        return len(self.labels) if self.redraw else self.pool

    @property
    def _order(self) -> NDArray[np.int64]:
        return np.arange(len(self.labels), dtype=np.int64) if self.drawn is None else self.drawn


def origins_of(truth: Truth) -> NDArray[np.int64]:
    """For each image of the pool, the row of the first in it that is identical, which may be its own: int64[pool]."""
    kinds = _kinds(truth.pixels, truth.stored, len(truth.labels), truth.digest)[truth.rows]
    _, first, kind = np.unique(kinds, return_index=True, return_inverse=True)
    found: NDArray[np.int64] = truth.rows[first[kind]]
    return found


@lru_cache(maxsize=4)
def _kinds(pixels: Path, stored: Shape, images: int, _digest: str) -> NDArray[np.int64]:
    """Numbers that are equal for identical frames: int64[images]."""
    first: dict[str, int] = {}
    with FrameFile(pixels, stored) as frames:
        found = [first.setdefault(digest(frames.read(np.array([row]))[0]), row) for row in range(images)]
    return np.array(found, np.int64)


def write(
    folder: Path,
    found: Dataset,
    *,
    gpu: bool,
    image_size: int | None,
    max_pixels: int,
    wanted: Mapping[str, Any] | None = None,
    redraw: bool = False,
) -> Truth:
    """Decodes a data set into ``folder``, framed as a project of these images would be.

    With ``redraw`` each seed draws its own pool and test. ``wanted`` is whatever the caller wants to find in the manifest, under
    that name.

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
        more = {"params": dict(found.params), "source": found.source, "wanted": wanted, "redraw": redraw}
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
