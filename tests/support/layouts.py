"""Layouts of pools without an encoder: features are written, not computed."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend import artefacts
from pt4al_backend.aliases import Ids
from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.frames import Shape
from pt4al_backend.jobs.folder import prepare
from pt4al_backend.jobs.job import Job
from pt4al_backend.jobs.layout import LaidOut, lay_out
from pt4al_backend.jobs.spec import LayoutSpec
from pt4al_backend.learn.frozen.feature_file import FeatureFile, path_beside
from pt4al_backend.progress import silent
from pt4al_backend.state.paths import frames_path, project_dir
from pt4al_backend.state.store import Store
from tests.support import filled


def write_learner(folder: Path, encoder: str, digest: str, features: int) -> Path:
    """As much of a ranking's artefact as tells which encoder the features are of."""
    weights = {"encoder": encoder, "sha256": digest, "features": features}
    with artefacts.writing(folder, settings={"encoder": encoder}, weights=weights, network={}):
        pass
    return folder


def make_layout(folder: Path, spec: LayoutSpec, rows: NDArray[np.int64], ids: Ids) -> LaidOut:
    """Does the job of laying out a pool in a folder."""
    prepare(folder, spec, rows=rows, ids=ids)
    lay_out(Job.read(folder), silent)
    return LaidOut.load(folder / "result")


class Described:
    """A pool of black frames with features in four groups, far apart; task ``i + 100`` is in row ``i``."""

    shape: Shape = (8, 8)
    encoder = "written"
    width = 16

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.digest = "a" * 64
        self.frames = FrameFile(folder / "frames.u8", self.shape)

    def features(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """What is written for some rows."""
        noise = np.array([np.random.default_rng(row).normal(scale=0.01, size=self.width) for row in rows])
        return np.asarray(np.eye(self.width)[rows % 4] + noise, np.float16)

    def describe(self, first: int, last: int) -> None:
        """Writes frames and features of the rows from ``first`` up to ``last``."""
        rows = np.arange(first, last)
        for row in rows.tolist():
            self.frames.write(row, np.full((*self.shape, 3), row % 251, np.uint8))
        path = path_beside(self.frames.path, self.encoder, self.digest, self.shape, "upright")
        with FeatureFile(path, 1, self.width) as file:
            file.write(rows, self.features(rows)[:, None], self.frames)

    def spec(self, **changes: Any) -> LayoutSpec:
        given = {
            "task": "classification",
            "settings": ProjectSettings(encoder=self.encoder),
            "device": "cpu",
            "pretrained": "off",
            "frames": self.frames.path,
            "stored": self.shape,
            "shape": self.shape,
            "learner": write_learner(self.folder / f"rank-{self.digest[0]}", self.encoder, self.digest, self.width),
            **changes,
        }
        return LayoutSpec(**given)

    def lay_out(self, name: str, rows: NDArray[np.int64], **changes: Any) -> LaidOut:
        """Lays out the tasks of some rows."""
        return make_layout(self.folder / name, self.spec(**changes), rows, rows + 100)


def lay_out_filled(store: Store, settings: ServerSettings, tasks: int | None = None) -> LaidOut:
    """Draws the map of the project of ``tests.support.filled``, of its first ``tasks`` tasks or of all."""
    project = store.project(filled.PROJECT)
    assert project is not None
    folder, shape = project_dir(settings, project), project.image_shape
    assert shape is not None
    spec = LayoutSpec(
        task="classification",
        settings=ProjectSettings(encoder=filled.ENCODER),
        device="cpu",
        pretrained="off",
        frames=frames_path(settings, project),
        stored=shape,
        shape=shape,
        learner=write_learner(folder / "rank-1" / "result", filled.ENCODER, filled.DIGEST, filled.FEATURES),
    )
    stored = store.stored_tasks(project.id)
    return make_layout(folder / "layout-1", spec, stored.rows[:tasks], stored.ids[:tasks])
