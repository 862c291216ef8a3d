"""The jobs of one project: the spec that each kind would get now."""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.engine.context import Context
from pt4al_backend.jobs.spec import AnswerSpec, CompareSpec, FullSpec, LayoutSpec, LearnSpec, RankSpec
from pt4al_backend.label_studio.annotations import LabelReader
from pt4al_backend.query import plan
from pt4al_backend.state.paths import frames_path, mask_dir, project_dir
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import Tasks


@dataclass(frozen=True)
class ProjectJobs:
    """Folders and specifications of one project's jobs.

    Attributes:
        settings: the server's.
        options: the project's settings.
    """

    store: Store
    settings: ServerSettings
    project: Project
    options: ProjectSettings
    reader: LabelReader

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Of the main task."""
        return self.reader.classes(self.options)

    @classmethod
    def of(cls, ctx: Context) -> Self:
        """The jobs of the project that a look is at."""
        return cls(ctx.store, ctx.settings, ctx.project, ctx.options, ctx.reader)

    @property
    def folder(self) -> Path:
        """Where they lie, beside the project's other artefacts."""
        return project_dir(self.settings, self.project)

    @property
    def learner(self) -> Path | None:
        """The artefact of the pretext learner, if there is one."""
        return self.settings.data_dir / self.project.learner if self.project.learner else None

    def fetched(self) -> Tasks:
        """Tasks whose image can be trained on."""
        tasks = self.store.tasks(self.project.id)
        return tasks.where((tasks.rows >= 0) & ~tasks.aside)

    def rank(self, learner: Path | None = None) -> RankSpec:
        """Scores with ``learner``, or else trains one."""
        features = learner is None and "pretext_features" in plan.needs_of(self.options)
        return RankSpec(**self._common(), learner=learner, outputs=("features",) if features else ())

    def learn(self, learner: Path | None = None) -> LearnSpec:
        """Trains a model, from ``learner`` if the settings say so."""
        images = self.store.fetched_count(self.project.id) - self.store.copy_count(self.project.id)
        query = plan.fit_schedule(images, self.options).query
        needed = plan.job_requirements(self.options, query)
        return LearnSpec(**self._common(), learner=learner, classes=self.classes, **asdict(needed))

    def layout(self) -> LayoutSpec:
        """Lays out the images by the features of the encoder that the pool was ranked with."""
        return LayoutSpec(**self._common(), learner=self.learner)

    def compare(self) -> CompareSpec:
        """Compares the head with training the encoder too."""
        return CompareSpec(**self._common(), learner=self.learner, classes=self.classes)

    def full(self) -> FullSpec:
        """Trains a model whose encoder is trained too, to be served beside rounds of heads."""
        common = self._common() | {"settings": self.options.model_copy(update={"tuning": "full"})}
        return FullSpec(**common, learner=self.learner, classes=self.classes)

    def answer(self, model: Path, previous: Path | None) -> AnswerSpec:
        """Answers later images with a model that is served beside rounds of heads, beside the answers that it gave before."""
        return AnswerSpec(**self._common(), model=model, previous=previous)

    def _common(self) -> dict[str, Any]:
        return {
            "project": self.project.id,
            "task": self.reader.task,
            "settings": self.options,
            "device": self.settings.device,
            "pretrained": self.settings.pretrained,
            "weights": self.settings.weights_dir,
            "frames": frames_path(self.settings, self.project),
            "stored": self.project.stored_shape,
            "shape": self.project.image_shape,
            "masks": mask_dir(self.settings, self.project),
        }


def number_of(folder: Path) -> int:
    """The number at the end of a job folder's name."""
    return int(folder.name.rpartition("-")[2])
