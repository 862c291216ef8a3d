"""The nearest labelled image of each pick, on a project of known truth."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.insights import nearest
from pt4al_backend.engine.insights.background import Insights
from pt4al_backend.engine.insights.nearest import Nearest
from pt4al_backend.state.paths import project_dir
from pt4al_backend.state.schema import AnswerKind, Project
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support.filled import PROJECT, fill
from tests.support.images import class_of
from tests.support.judged import features_of, fill_judged

PICKS = range(93, 100)  # those of the open round that are no control picks


@pytest.fixture
def store(settings: ServerSettings) -> Iterator[Store]:
    opened = Store.open(settings)
    yield opened
    opened.close()


def find(store: Store, settings: ServerSettings) -> Nearest:
    Insights(settings, store, [nearest.refresh]).refresh(PROJECT)
    found = Nearest.load(project_dir(settings, Project(id=PROJECT)))
    assert found is not None
    return found


def test_each_pick_has_the_labelled_task_whose_features_are_most_alike(store: Store, settings: ServerSettings) -> None:
    fill_judged(store, settings)
    found = find(store, settings).of(range(1, 121))
    assert list(found) == list(PICKS)
    features = features_of(120).astype(np.float64)
    features -= features.mean(0)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    cosines = features[[task - 1 for task in PICKS]] @ features[:91].T
    assert [task for task, _ in found.values()] == (cosines.argmax(1) + 1).tolist()
    assert np.allclose([cosine for _, cosine in found.values()], cosines.max(1), atol=0.01)


def test_labelled_pick_is_not_its_own_neighbour(store: Store, settings: ServerSettings) -> None:
    fill_judged(store, settings)
    store.put_answers(PROJECT, {93: StoredAnswer(AnswerKind.LABEL, class_of(93))})
    assert find(store, settings).of([93])[93][0] != 93


def test_neighbours_are_found_again_when_the_round_has_other_picks_or_labels_have_grown(
    store: Store, settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_judged(store, settings)
    runs: list[int] = []
    search = nearest._found
    monkeypatch.setattr(nearest, "_found", lambda *given: runs.append(1) or search(*given))  # type: ignore[func-returns-value]
    find(store, settings)
    find(store, settings)
    assert len(runs) == 1
    store.put_answers(PROJECT, {94: StoredAnswer(AnswerKind.LABEL, class_of(94))})
    find(store, settings)
    assert len(runs) == 1  # one label of 92
    store.drop_picks(PROJECT, 4, [99])
    assert list(find(store, settings).of(range(1, 121))) == [*range(93, 99)]


def test_first_labels_are_neighbours_soon(store: Store, settings: ServerSettings) -> None:
    fill_judged(store, settings)
    store.clear_tasks(PROJECT, answer=AnswerKind.NONE, label="")
    found = find(store, settings)
    assert (len(found.rows), found.facts.missing) == (0, nearest.NO_LABELS)
    store.put_answers(PROJECT, {93: StoredAnswer(AnswerKind.LABEL, class_of(93))})
    found = find(store, settings)
    assert found.of([94])[94][0] == 93
    assert found.facts.missing == ""


def test_project_without_features_says_why(store: Store, settings: ServerSettings) -> None:
    fill(store, settings)
    found = find(store, settings)
    assert len(found.rows) == 0
    assert "not computed yet" in found.facts.missing


def test_project_that_is_forgotten_meanwhile_gets_none(
    store: Store, settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_judged(store, settings)
    save = np.save

    def forget_and_save(path: Path, array: Any) -> None:
        store.forget(store.project(PROJECT))
        save(path, array)

    monkeypatch.setattr(np, "save", forget_and_save)
    Insights(settings, store, [nearest.refresh]).refresh(PROJECT)
    assert Nearest.load(project_dir(settings, Project(id=PROJECT))) is None


def test_project_without_a_round_or_tasks_stands(store: Store, settings: ServerSettings) -> None:
    store.connect(8)
    Insights(settings, store, [nearest.refresh]).refresh(8)
    assert Nearest.load(project_dir(settings, Project(id=8))) is None
