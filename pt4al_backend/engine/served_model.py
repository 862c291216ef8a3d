"""Which model is served: that of the last round, or one whose encoder is trained too (``engine.model_choice`` decides it).

All who answer with a model, show how good it is or give it away ask here. The order of the queue is by the rounds' models alone.
"""

from pathlib import Path

import numpy as np

from pt4al_backend import artefacts
from pt4al_backend.engine.job_series import JobSeries
from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.jobs.results import CANDIDATES, LATER, Answers, Candidates, read_answers, read_later
from pt4al_backend.jobs.spec import JobKind
from pt4al_backend.measures import FullModel
from pt4al_backend.state.schema import Project
from pt4al_backend.state.tasks import Tasks


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
    """The jobs in which the model of an artefact answers images that came after its training; the last one's result has all."""
    return JobSeries(model.parent, JobKind.ANSWER, lambda result: artefacts.has_sound(result, LATER))


def all_answers(model: Path) -> Candidates:
    """A model's answers to images, among them those that came after its training and were answered since.

    Of a task that got another image it has the newer answer. Ids ascend.

    Raises:
        StoreCorrupt: it is missing or damaged.
    """
    found = _answers(model)
    return Candidates(found.ids, found.labels, found.confidences)


def unanswered(model: Path, tasks: Tasks) -> Tasks:
    """Those tasks whose image, as it is now, the model of an artefact has not answered: no row of frames is given to another one.

    Raises:
        StoreCorrupt: its answers are missing or damaged.
    """
    found = _answers(model)
    answered = dict(zip(found.ids.tolist(), found.rows.tolist(), strict=True))
    return tasks.where(np.array([answered.get(task, -1) for task in tasks.ids.tolist()], np.int64) != tasks.rows)


def _answers(model: Path) -> Answers:
    found, last = read_answers(model.parent), later(model).last()
    return found if last is None else found.with_later(read_later(last))


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
