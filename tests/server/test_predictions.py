"""Who answers for which task: the round's stored results, the last good model, or nobody."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.server.live_model import LiveModel, Prediction
from pt4al_backend.server.predictions import Predictions
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store
from tests.support.rounds import PROJECT, open_round, pick


class SaysB(LiveModel):
    """Says "b" of everything, and remembers what it was asked."""

    def __init__(self, settings: ServerSettings) -> None:
        super().__init__(settings)
        self.asked: list[int] = []

    def answers(self, project: Project, labelling: Any, tasks: Sequence[Any], deadline: float) -> dict[int, Prediction]:
        self.asked += [task["id"] for task in tasks]
        return {task["id"]: Prediction("b", 0.75, (10, 10)) for task in tasks}


@pytest.fixture
def store(settings: ServerSettings) -> Iterator[Store]:
    opened = Store.open(settings)
    yield opened
    opened.close()


@pytest.fixture
def seen(settings: ServerSettings) -> SaysB:
    return SaysB(settings)


def answers(settings: ServerSettings, store: Store, seen: SaysB, *ids: object) -> list[tuple[str | None, float]]:
    """(label shown, score) for each task."""
    project = store.project(PROJECT)
    assert project is not None
    tasks = [{"id": i, "data": {"image": "x"}} for i in ids]
    found = Predictions(settings, store, seen).of(project, tasks, time.monotonic() + 30)
    return [(each["result"][0]["value"]["choices"][0] if each["result"] else None, each["score"]) for each in found]


def test_the_model_answers_for_what_the_round_has_no_answer_for(settings: ServerSettings, store: Store, seen: SaysB) -> None:
    open_round(store, pick(1, "query", "a", 0.5), pick(2, "control"), pick(3, "reserve"))
    store.update(PROJECT, model="projects/3/learn-1/result")
    assert answers(settings, store, seen, 4, 1, 2, 3) == [("b", 1.0), ("a", 0.001), (None, 0.002), ("b", 0.003)]
    assert sorted(seen.asked) == [3, 4]


def test_a_control_pick_is_never_shown_to_the_model(settings: ServerSettings, store: Store, seen: SaysB) -> None:
    open_round(store, pick(1, "control"))
    open_round(store, pick(5, round_number=2), number=2)
    store.update(PROJECT, model="projects/3/learn-1/result")
    assert answers(settings, store, seen, 1) == [(None, 1.0)]
    assert seen.asked == []


def test_before_there_is_a_model_nothing_is_shown(settings: ServerSettings, store: Store, seen: SaysB) -> None:
    open_round(store, pick(1), pick(2))
    assert answers(settings, store, seen, 2, 1, 9) == [(None, 0.002), (None, 0.001), (None, 1.0)]
    assert seen.asked == []


def test_with_predictions_switched_off_the_model_is_not_asked(settings: ServerSettings, store: Store, seen: SaysB) -> None:
    open_round(store, pick(1, "query", "a", 0.5))
    store.update(PROJECT, model="m", params={"show_predictions": False})
    assert answers(settings, store, seen, 1, 2) == [(None, 0.001), (None, 1.0)]
    assert seen.asked == []


def test_an_unsupported_labeling_config_keeps_the_order(settings: ServerSettings, store: Store, seen: SaysB) -> None:
    open_round(store, pick(1, "query", "a", 0.5))
    store.update(PROJECT, model="m", label_config="<View/>")
    assert answers(settings, store, seen, 1, None, "x", {}) == [(None, 0.001), (None, 1.0), (None, 1.0), (None, 1.0)]
