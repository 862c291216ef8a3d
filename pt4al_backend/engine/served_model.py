"""Which model is served: that of the last round, or one whose encoder is trained too (``engine.model_choice`` decides it).

All who answer with a model, show how good it is or give it away ask here. The order of the queue is by the rounds' models alone.
"""

from pathlib import Path

import numpy as np

from pt4al_backend import artefacts
from pt4al_backend.engine.job_series import JobSeries
from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.jobs.results import CANDIDATES, Candidates, read_candidates
from pt4al_backend.jobs.spec import JobKind
from pt4al_backend.measures import FullModel
from pt4al_backend.state.schema import Project


def is_sound(result: Path) -> bool:
    """Whether a model whose encoder is trained too can be served; quick if it could a moment ago."""
    return artefacts.has_sound(result, artefacts.WEIGHTS, CANDIDATES)


def full_model(data_dir: Path, project: Project) -> FullModel:
    """The model whose encoder is trained too, if it is served; one that is missing or damaged since is not."""
    found = project.full_model
    return found if found.model and is_sound(data_dir / found.model) else FullModel()


def folder(data_dir: Path, project: Project) -> Path | None:
    """The artefact of the served model; None before the first."""
    name = full_model(data_dir, project).model or project.model
    return data_dir / name if name else None


def later(model: Path) -> JobSeries:
    """The jobs in which the model of an artefact answers images that came after its training."""
    return JobSeries(model.parent, JobKind.ANSWER, lambda result: artefacts.has_sound(result, CANDIDATES))


def all_answers(model: Path) -> Candidates:
    """What the model of an artefact says of images, of those that came after its training as far as they were answered since.

    Raises:
        StoreCorrupt: it is missing or damaged.
    """
    parts = [read_candidates(folder) for folder in (model.parent, *(result.parent for result in later(model).results()))]
    return Candidates(*map(np.concatenate, zip(*parts, strict=True)))


def answers(data_dir: Path, project: Project) -> Candidates | None:
    """What the served model says of images, if it is not the round's."""
    if not project.full_model.model:
        return None
    try:
        return all_answers(data_dir / project.full_model.model)
    except StoreCorrupt:  # damaged within this look: the next one serves the round's model
        return Candidates(np.empty(0, np.int64), np.empty(0, np.str_), np.empty(0))


def mark(project: Project) -> str:
    """What a model version says of the model that answered: "" for that of the round."""
    return f"full{project.full_model.labels}" if project.full_model.model else ""
