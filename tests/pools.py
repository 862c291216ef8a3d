"""Pools of small images in an image store, and jobs on them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.pixels import Pixels
from pt4al_backend.settings import ProjectSettings
from tests.images import CLASSES, arrow

SIZE = 16
SHAPE = (SIZE, SIZE)


def arrows(path: Path, count: int, size: int = SIZE) -> Path:
    """A store of ``count`` arrows, whose classes take turns."""
    with Pixels(path, (size, size)) as store:
        for number in range(count):
            store.write(number, np.asarray(arrow(number, size)))
        store.flush()
    return path


def noise(path: Path, count: int, size: int = SIZE) -> Path:
    """A store of images without a way up."""
    rng = np.random.default_rng(0)
    with Pixels(path, (size, size)) as store:
        for number in range(count):
            store.write(number, rng.integers(0, 256, (size, size, 3), dtype=np.uint8))
        store.flush()
    return path


def targets(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The classes of arrows."""
    return rows % len(CLASSES)


def job(folder: Path, kind: str, store: Path, arrays: dict[str, Any], **changes: Any) -> Path:
    """Writes a job's folder as the worker does; a pair of arrays is rows and targets. Returns the folder."""
    folder.mkdir()
    for name, value in arrays.items():
        if isinstance(value, tuple):
            np.savez(folder / f"{name}.npz", rows=value[0], targets=value[1])
        else:
            np.save(folder / f"{name}.npy", value)
    settings = {"width": 8, "pretext_epochs": 2, "epochs": 2, **changes.pop("settings", {})}
    common = {"device": "cpu", "pretrained": "off", "pixels": str(store), "shape": SHAPE, "stored": SHAPE}
    given = {"kind": kind, "settings": ProjectSettings(**settings).model_dump(mode="json"), **common, **changes}
    (folder / "job.json").write_text(json.dumps(given))
    return folder


def ranking(folder: Path, store: Path, rows: NDArray[np.int64], **changes: Any) -> Path:
    """A job that ranks."""
    return job(folder, "rank", store, {"rows": rows}, **changes)


def lesson(folder: Path, store: Path, train: NDArray[np.int64], control: NDArray[np.int64], **changes: Any) -> Path:
    """A job that learns the arrows' classes and scores the first five images of the store."""
    arrays = {"train": (train, targets(train)), "control": (control, targets(control)), "candidates": np.arange(5)}
    return job(folder, "learn", store, arrays, **{"classes": CLASSES, **changes})
