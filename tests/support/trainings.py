"""Trainings and rankings of one project of ten tasks, without a child that works."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pt4al_backend import artefacts
from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.engine.project_jobs import ProjectJobs
from pt4al_backend.engine.ranking import PoolRanking
from pt4al_backend.engine.train import RoundTraining
from pt4al_backend.jobs.folder import job_of
from pt4al_backend.jobs.run import Runner
from pt4al_backend.jobs.spec import JobSpec
from pt4al_backend.label_studio.classification import ClassificationReader
from pt4al_backend.label_studio.label_config import parse
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.state.schema import AnswerKind, Pick, Project, Round, RoundState
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support.images import LABEL_CONFIG
from tests.support.pools import SIZE


def ten_tasks(settings: ServerSettings) -> Iterator[Store]:
    """A state with ten tasks with images, of which the first is a control pick."""
    opened = Store.open(settings)
    opened.connect(1, **dict.fromkeys(("image_height", "image_width", "stored_height", "stored_width"), SIZE))
    opened.put_tasks(1, [{"id": i, "image": f"{i}.png", "problem": ""} for i in range(1, 11)])
    opened.set_tasks(1, {"id": list(range(1, 11)), "row": list(range(10))})
    pick = Pick(project_id=1, round=1, task_id=1, position=0, kind=PickKind.CONTROL, score=0.5)
    opened.open_round(1, Round(project_id=1, number=1, state=RoundState.OPEN), [pick])
    yield opened
    opened.close()


class Cut(BaseException):
    """Ends a job as a kill would."""

    def __init__(self, job: JobSpec | None) -> None:
        super().__init__()
        assert job is not None
        self.job = job


class CutShort:
    """Runs no job further than its folder."""

    def run(self, folder: Path, *_: object) -> Path:
        raise Cut(job_of(folder))


class Ranks:
    """Ranks each pool by these losses, without training anything."""

    def __init__(self, losses: list[float]) -> None:
        self.losses = losses

    def run(self, folder: Path, *_: object) -> Path:
        with artefacts.writing(folder / "result", quality={"meaningful": True}) as draft:
            np.save(draft / "losses.npy", np.array(self.losses))
        return folder / "result"


def known(store: Store) -> Project:
    """The project."""
    project = store.project(1)
    assert project is not None
    return project


def jobs_of(store: Store, settings: ServerSettings, config: str = LABEL_CONFIG, **params: Any) -> ProjectJobs:
    """The project's jobs."""
    return ProjectJobs(store, settings, known(store), ProjectSettings(**params), ClassificationReader(parse(config)))


def training_of(
    store: Store, settings: ServerSettings, config: str = LABEL_CONFIG, runner: Runner | None = None, **params: Any
) -> RoundTraining:
    """The training of the project's round, which is cut short unless another runner is given."""
    return RoundTraining(jobs_of(store, settings, config, **params), runner or CutShort())


def ranking_of(store: Store, settings: ServerSettings, runner: Runner | None = None, **params: Any) -> PoolRanking:
    """The ranking of the project's pool, which is cut short unless another runner is given."""
    return PoolRanking(jobs_of(store, settings, **params), runner or CutShort())


def idle(*_: object) -> None:
    """Nothing happens while a job runs."""


def learner(store: Store, settings: ServerSettings, number: int = 1, weights: bytes = b"", **options: Any) -> Path:
    """A pretext learner that the project has; its folder."""
    folder = settings.data_dir / "projects" / "1" / f"rank-{number}"
    with artefacts.writing(folder / "result", settings=ProjectSettings(**options).model_dump(mode="json")) as draft:
        (draft / artefacts.WEIGHTS).write_bytes(weights)
    store.change(1, learner=f"projects/1/rank-{number}/result", learner_pool=10)
    return folder


def train(store: Store, settings: ServerSettings, config: str = LABEL_CONFIG, **params: Any) -> Any:
    """Begins or resumes this round's training; its job."""
    with pytest.raises(Cut) as cut:
        training_of(store, settings, config, **params).train(lambda: np.arange(7, 11), idle, idle)
    return cut.value.job


def rank(store: Store, settings: ServerSettings, *, from_scratch: bool = False, **params: Any) -> Any:
    """Begins or resumes the training of a pretext learner; its job."""
    with pytest.raises(Cut) as cut:
        ranking_of(store, settings, **params).rank(idle, idle, from_scratch=from_scratch)
    return cut.value.job


def answer(store: Store, task: int, label: str, kind: AnswerKind = AnswerKind.LABEL, **given: Any) -> None:
    """Gives a task an answer."""
    store.put_answers(1, {task: StoredAnswer(kind, label, **given)})
