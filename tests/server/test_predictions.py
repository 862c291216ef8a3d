"""What answers for which task: the round's stored results, the last good model, or nothing."""

import time
from collections.abc import Sequence
from typing import Any

import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.server.live_model import LiveModel, Prediction
from pt4al_backend.server.predictions import Predictions
from pt4al_backend.server.requests import Task
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store
from tests.support.rounds import PROJECT, open_round, pick


class AlwaysB(LiveModel):
    """Answers "b" for every task, and keeps the ids."""

    def __init__(self, settings: ServerSettings) -> None:
        super().__init__(settings)
        self.seen: list[int] = []

    def predict(self, project: Project, reader: Any, tasks: Sequence[Task], deadline: float) -> dict[int, Prediction]:
        self.seen += [task.id for task in tasks]
        return {task.id: Prediction("b", 0.75, (10, 10)) for task in tasks}


@pytest.fixture
def live(settings: ServerSettings) -> AlwaysB:
    return AlwaysB(settings)


def answers(settings: ServerSettings, store: Store, live: AlwaysB, *ids: int) -> list[tuple[str | None, float]]:
    """(label shown, score) for each task."""
    project = store.project(PROJECT)
    assert project is not None
    tasks = [Task(id=i, data={"image": "x"}) for i in ids]
    found = Predictions(settings, store, live).of(project, tasks, time.monotonic() + 30)
    return [(each["result"][0]["value"]["choices"][0] if each["result"] else None, each["score"]) for each in found]


def test_model_answers_where_the_round_has_no_answer(settings: ServerSettings, store: Store, live: AlwaysB) -> None:
    open_round(store, pick(1, "query", "a", 0.5), pick(2, "control"), pick(3, "reserve"))
    store.change(PROJECT, model="projects/3/learn-1/result")
    assert answers(settings, store, live, 4, 1, 2, 3) == [("b", 1.0), ("a", 0.001), (None, 0.002), ("b", 0.003)]
    assert sorted(live.seen) == [3, 4]


def test_control_pick_of_an_earlier_round_stays_unanswered(settings: ServerSettings, store: Store, live: AlwaysB) -> None:
    open_round(store, pick(1, "control"))
    open_round(store, pick(5, round_number=2), number=2)
    store.change(PROJECT, model="projects/3/learn-1/result")
    assert answers(settings, store, live, 1) == [(None, 1.0)]
    assert live.seen == []


def test_nothing_is_shown_before_the_first_model(settings: ServerSettings, store: Store, live: AlwaysB) -> None:
    open_round(store, pick(1), pick(2))
    assert answers(settings, store, live, 2, 1, 9) == [(None, 0.002), (None, 0.001), (None, 1.0)]
    assert live.seen == []


def test_predictions_switched_off_do_not_run_the_model(settings: ServerSettings, store: Store, live: AlwaysB) -> None:
    open_round(store, pick(1, "query", "a", 0.5))
    store.change(PROJECT, model="m", params={"show_predictions": False})
    assert answers(settings, store, live, 1, 2) == [(None, 0.001), (None, 1.0)]
    assert live.seen == []


def test_unsupported_labeling_config_keeps_the_scores(settings: ServerSettings, store: Store, live: AlwaysB) -> None:
    open_round(store, pick(1, "query", "a", 0.5))
    store.change(PROJECT, model="m", label_config="<View/>")
    assert answers(settings, store, live, 1, 2) == [(None, 0.001), (None, 1.0)]
