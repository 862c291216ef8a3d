"""What makes earlier work stale, so that it is done again: a job, the pretext learner, what a model has learned, an insight.

The first three ask the same of two settings: whether they differ in one that affects the work. What it affects each setting
declares itself (``config.Affects``), and ``jobs.spec`` compares two jobs by that. Insights are cheap: any setting affects them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pt4al_backend import artefacts
from pt4al_backend.config import Affects, ProjectSettings
from pt4al_backend.engine.labels import LabelSplit
from pt4al_backend.engine.project_jobs import ProjectJobs
from pt4al_backend.jobs.manifest import LearnerManifest
from pt4al_backend.jobs.spec import JobSpec, LearnSpec
from pt4al_backend.state.schema import Project

GROWTH = 1.2  # of the pool since the pretext learner was trained, before it is trained again


def is_current(job: JobSpec | None, jobs: ProjectJobs) -> bool:
    """Whether a job that was prepared earlier, if it was, still does what one of the project's prepared now would do."""
    return job is not None and job.is_current(jobs.learn() if isinstance(job, LearnSpec) else jobs.rank())


def is_outgrown(learner: Path | None, options: ProjectSettings, pool: int, images: int) -> bool:
    """Whether a pretext learner has to be trained again: the pool has grown, settings want another one, or it is damaged.

    Args:
        pool: images that it was trained for.
        images: that there are now.
    """
    if learner is None:
        return False
    if not artefacts.is_complete(learner):
        return True
    trained_with = LearnerManifest.read(learner).settings
    return images > GROWTH * pool or not trained_with.same_for(options, Affects.RANKING)


def digest(labels: LabelSplit, options: ProjectSettings, classes: Sequence[str]) -> str:
    """Of all that a model learns from labels: if it is that of the last model, there is nothing new to learn."""
    return _hash(f"{options.model_dump_json()}{sorted(labels.train.items())}{classes}")


@dataclass(frozen=True)
class Basis:
    """What the insights of a project are made of, as far as its row says it; each depends on some of it.

    Attributes:
        images: rows of the frame file that were given.
        describers: the pretext learner, and the encoder that was chosen.
        models: the last round's, and the one that is served instead.
        reading: the labeling config that labels are read by, and the settings.
    """

    images: int
    describers: tuple[str, str]
    models: tuple[str, str]
    round: int
    reading: tuple[str, dict[str, Any]]

    @classmethod
    def of(cls, project: Project) -> "Basis":
        """That of a project now."""
        return cls(
            images=project.next_row,
            describers=(project.learner, project.encoder),
            models=(project.model, project.full_model.model),
            round=project.round,
            reading=(project.config_read, project.params),
        )


def key(*parts: object) -> str:
    """Of what an insight was made of: if it is another one now, the insight is computed again."""
    return _hash(repr(parts))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
