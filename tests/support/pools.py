"""Pools of small images in an image store, and jobs on them, for each main task."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.config import ProjectSettings
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.frames import Shape
from pt4al_backend.images.mask_files import UNLABELLED, Mask, MaskFiles
from pt4al_backend.jobs.folder import prepare
from pt4al_backend.jobs.spec import CompareSpec, FullSpec, JobKind, JobSpec, LayoutSpec, LearnSpec, RankSpec
from pt4al_backend.label_sets import to_text
from tests.support.images import CLASSES, arrow

SIZE = 16
SHAPE = (SIZE, SIZE)
FRAME = (32, 48)
#: What scenes show; the colour of a pixel tells.
SCENERY = {"ground": (110, 100, 90), "sun": (230, 200, 60), "sea": (40, 90, 200)}


def arrows(path: Path, count: int, size: int = SIZE) -> Path:
    """A store of ``count`` arrows, whose classes take turns."""
    return stored(path, (size, size), (arrow(number, size) for number in range(count)))


def noise(path: Path, count: int, size: int = SIZE) -> Path:
    """A store of images without a way up."""
    rng = np.random.default_rng(0)
    return stored(path, (size, size), (rng.integers(0, 256, (size, size, 3), dtype=np.uint8) for _ in range(count)))


def rosettes(path: Path, count: int, size: int = SIZE) -> Path:
    """A store of images that look the same after a quarter turn: all learners recognise one in four orientations."""
    rng = np.random.default_rng(0)
    grains = (rng.integers(0, 256, (size, size, 3), dtype=np.uint8) for _ in range(count))
    return stored(path, (size, size), (np.maximum.reduce([np.rot90(grain, turn) for turn in range(4)]) for grain in grains))


def scene(number: int, shape: Shape = FRAME) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A grainy picture of a sun over the sea, and the class of each of its pixels; some scenes have no sun."""
    rng = np.random.default_rng(number)
    height, width = shape
    rows, columns = np.mgrid[:height, :width]
    ids = np.zeros(shape, np.uint8)
    ids[rows >= height * rng.uniform(0.55, 0.8)] = 2
    y, x, radius = height * rng.uniform(0.2, 0.4), width * rng.uniform(0.25, 0.75), height * rng.uniform(0.12, 0.25)
    if number % 5:
        ids[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = 1
    colours = np.array(list(SCENERY.values()), np.int64)[ids]
    return (colours + rng.integers(-25, 26, (*shape, 3))).clip(0, 255).astype(np.uint8), ids


def scenes(path: Path, count: int, shape: Shape = FRAME) -> Path:
    """A store of ``count`` scenes."""
    return stored(path, shape, (scene(number, shape)[0] for number in range(count)))


def drawn(folder: Path, rows: NDArray[np.int64], shape: Shape = FRAME) -> NDArray[np.str_]:
    """Names of the scenes' masks, put into a folder at twice the size of the frame; nobody has drawn the ground."""
    masks, names = MaskFiles(folder), []
    for number in rows.tolist():
        ids = scene(number, shape)[1].repeat(2, 0).repeat(2, 1)
        names.append(masks.put(Mask(np.where(ids == 0, UNLABELLED, ids).astype(np.uint8))))
    return np.array(names, np.str_)


def stored(path: Path, shape: Shape, images: Iterable[Any]) -> Path:
    """A store of images uint8 [H, W, 3], in this order."""
    with FrameFile(path, shape) as store:
        for number, image in enumerate(images):
            store.write(number, np.asarray(image))
        store.flush()
    return path


def targets(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The classes of arrows, as numbers."""
    return rows % len(CLASSES)


def named(_: Path, rows: NDArray[np.int64]) -> NDArray[np.str_]:
    """The classes of arrows."""
    return np.array(CLASSES, np.str_)[targets(rows)]


def tagged(_: Path, rows: NDArray[np.int64]) -> NDArray[np.str_]:
    """The sets of classes of arrows: their colour, and whether they are large."""
    return np.array([to_text([CLASSES[row % 3], *(["large"] if row % 8 < 4 else [])], TAGS) for row in rows.tolist()], np.str_)


#: What is said of arrows where several things may be said of each.
TAGS = (*CLASSES, "large")


@dataclass(frozen=True)
class Pool:
    """What a main task is tried on: images, their labels (the folder is for masks), settings that make it fast.

    Its epochs are enough to learn the main task from forty images.
    """

    task: str
    classes: tuple[str, ...]
    shape: Shape
    store: Callable[[Path, int], Path]
    labels: Callable[[Path, NDArray[np.int64]], NDArray[np.str_]]
    settings: dict[str, Any]
    epochs: int


ARROWS = Pool("classification", CLASSES, SHAPE, arrows, named, {"width": 8}, epochs=15)
ROSETTES = Pool("classification", CLASSES, SHAPE, rosettes, named, {"width": 8}, epochs=15)
TAGGED = Pool("multilabel", TAGS, SHAPE, arrows, tagged, {"width": 8}, epochs=20)
SCENES = Pool(
    "segmentation",
    tuple(SCENERY),
    FRAME,
    scenes,
    drawn,
    {"encoder": "resnet18", "pretext": "rotation", "background": "ground"},
    epochs=8,
)


def description(kind: JobKind, store: Path, pool: Pool = ARROWS, **changes: Any) -> JobSpec:
    """A job on a pool, as the worker writes it; settings are added to those of the pool."""
    settings = {**pool.settings, "pretext_epochs": 2, "epochs": 2, **changes.pop("settings", {})}
    common: dict[str, Any] = {
        "task": pool.task,
        "settings": ProjectSettings(**settings),
        "device": "cpu",
        "pretrained": "off",
        "frames": store,
        "masks": store.parent / "masks",
        "shape": pool.shape,
        "stored": pool.shape,
        **changes,
    }
    if kind == JobKind.LEARN:
        return LearnSpec(classes=pool.classes, **common)
    if kind == JobKind.FULL:
        return FullSpec(classes=pool.classes, **common)
    if kind == JobKind.COMPARE:
        return CompareSpec(classes=pool.classes, **common)
    return RankSpec(**common) if kind == JobKind.RANK else LayoutSpec(**common)


def labelled(store: Path, rows: NDArray[np.int64], pool: Pool = ARROWS) -> dict[str, NDArray[Any]]:
    """Rows of a pool's store with their labels."""
    return {"rows": rows, "labels": pool.labels(store.parent / "masks", rows)}


def job(folder: Path, kind: JobKind, store: Path, arrays: dict[str, Any], pool: Pool = ARROWS, **changes: Any) -> Path:
    """Writes a job's folder as the worker does. Returns the folder."""
    prepare(folder, description(kind, store, pool, **changes), **arrays)
    return folder


def ranking(folder: Path, store: Path, rows: NDArray[np.int64], **changes: Any) -> Path:
    """A job that ranks."""
    return job(folder, JobKind.RANK, store, {"rows": rows}, **changes)


def training_data(
    folder: Path, store: Path, train: NDArray[np.int64], control: NDArray[np.int64], pool: Pool = ARROWS, **changes: Any
) -> Path:
    """A job that learns what a pool shows and looks at its first five images; a round's unless ``kind`` is given."""
    arrays = {"train": labelled(store, train, pool), "control": labelled(store, control, pool), "candidates": np.arange(5)}
    return job(folder, changes.pop("kind", JobKind.LEARN), store, arrays, pool, **changes)
