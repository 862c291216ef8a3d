"""A project as what is computed for its pages sees it: read once, beside the looks, and never changed."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.aliases import Ids
from pt4al_backend.config import ProjectSettings, ServerSettings, project_settings
from pt4al_backend.config.catalog import TaskName
from pt4al_backend.engine.access import label_reader_for
from pt4al_backend.engine.labeling_config import in_force
from pt4al_backend.engine.labels import LabelSplit, split_labels
from pt4al_backend.engine.project_jobs import ProjectJobs
from pt4al_backend.errors import PT4ALError
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.jobs.image_vectors import ImageVectors, MadeBy, VectorSource
from pt4al_backend.jobs.manifest import ModelManifest
from pt4al_backend.label_studio.annotations import LabelReader
from pt4al_backend.learn.frozen.feature_file import FeatureFile, blocks
from pt4al_backend.query import plan
from pt4al_backend.state.paths import project_dir
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import Tasks

#: Why a project's images have no features of an encoder, or none yet.
NO_FEATURES = (
    "This project trains a network, and the features of its pretext learner tell too little for that. Those of a pretrained "
    "encoder tell enough: see encoder in the settings."
)
NO_VECTORS = "That takes a pretrained encoder's features of whole images, which a segmentation project does not keep."
NOT_YET = "The features of the images are not computed yet: they are with the ranking and the first training."


class Superseded(PT4ALError):
    """What is being computed is not wanted any more: the project is forgotten, or has connected again."""

    status = 404

    def __init__(self) -> None:
        super().__init__("The project was forgotten meanwhile.", "Open it from the list of projects, if it has connected again.")


@dataclass(frozen=True)
class Snapshot:
    """One project, and what reads it.

    Attributes:
        project: its row when this began.
        options: its settings then.
    """

    settings: ServerSettings
    store: Store
    project: Project
    options: ProjectSettings
    reader: LabelReader

    @classmethod
    def of(cls, settings: ServerSettings, store: Store, project: Project) -> "Snapshot":
        """A project as its state has it.

        Raises:
            PT4ALError: its settings or its labeling config are refused, which the engine reports.
        """
        config = in_force(project)
        options = plan.for_task(project_settings(project.params), config.task, project.encoder)
        return cls(settings, store, project, options, label_reader_for(settings, project, config))

    @property
    def folder(self) -> Path:
        """Where the project's artefacts lie."""
        return project_dir(self.settings, self.project)

    @cached_property
    def jobs(self) -> ProjectJobs:
        """The jobs that the project would get now."""
        return ProjectJobs(self.store, self.settings, self.project, self.options, self.reader)

    @cached_property
    def tasks(self) -> Tasks:
        """The whole pool, those without a usable image among it."""
        return self.store.tasks(self.project.id)

    def labels(self, *, train_on_accepted: bool) -> LabelSplit:
        """The labels that count: those that train, and those of control picks (see ``split_labels``)."""
        store, number = self.store, self.project.id
        answers, controls = store.answers(number), store.control_ids(number)
        sizes = store.fetched_sizes(number, list(answers))
        origins = store.origins(number, [*answers, *controls.tolist()])
        return split_labels(sizes, answers, controls, origins, self.reader, train_on_accepted=train_on_accepted)

    def require(self) -> None:
        """Called now and then by what takes long.

        Raises:
            Superseded: the project is forgotten, and may have connected again.
        """
        found = self.store.project(self.project.id)
        if found is None or found.identity != self.project.identity:
            raise Superseded

    @property
    def why_without_features(self) -> str:
        """What people read where ``features`` has none of an encoder."""
        if self.reader.task == TaskName.SEGMENTATION:
            return NO_VECTORS
        return NOT_YET if self.options.frozen_encoder else NO_FEATURES

    @contextmanager
    def features(self, ids: Ids | None = None, by: MadeBy | None = None) -> Iterator["PoolFeatures | None"]:
        """The features of the pool's images, or of those of some tasks; None where there are none, or none yet.

        ``by``: only those of this describer.
        """
        spec = self.jobs.layout() if self.project.stored_shape else None
        vectors = None if spec is None else ImageVectors.of(spec)
        if spec is None or vectors is None or by not in (None, vectors.by):
            yield None
            return
        wanted = (self.tasks.rows >= 0) & ~self.tasks.aside
        tasks = self.tasks.where(wanted if ids is None else wanted & np.isin(self.tasks.ids, ids))
        file: FeatureFile | None = None
        with ExitStack() as files:
            with suppress(FileNotFoundError):  # not made yet, or the project was forgotten a moment ago
                frames = files.enter_context(FrameFile(spec.frames, spec.stored, writable=False))
                file = files.enter_context(vectors.file(writable=False))
            if file is None:
                yield None
                return
            missing = [np.empty(0, np.int64)]
            for rows in blocks(tasks.rows):
                self.require()
                missing.append(file.missing(rows, frames))
            there = tasks.where(~np.isin(tasks.rows, np.concatenate(missing)))
            yield PoolFeatures(there.ids, there.rows, file, vectors.by, vectors.source)


@dataclass(frozen=True, eq=False)
class PoolFeatures:
    """Features of tasks: their ids int64 [n], ascending, their rows in the feature file, and what made them."""

    ids: Ids
    rows: NDArray[np.int64]
    file: FeatureFile
    by: MadeBy
    source: VectorSource

    def __len__(self) -> int:
        return len(self.ids)

    def suit(self, model: ModelManifest) -> bool:
        """Whether the head ``model`` was trained on such: the encoder may have changed since."""
        return self.by is MadeBy.ENCODER and model.weights is not None and model.weights.sha256 == self.source.weights

    def read(self, positions: NDArray[np.int64]) -> NDArray[np.float16]:
        """Features float16 [m, d] of positions int64 [m] among ``ids``."""
        return self.file.read(self.rows[positions])[:, 0]
