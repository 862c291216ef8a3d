"""What is computed of the quality of a project, on a project of known truth."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.insights import quality
from pt4al_backend.engine.insights.background import Insights
from pt4al_backend.engine.insights.quality_file import Quality
from pt4al_backend.state.paths import project_dir
from pt4al_backend.state.schema import AnswerKind, Project
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support.filled import PROJECT, fill
from tests.support.images import CLASSES
from tests.support.judged import COPIES, GIVEN, MISTAKEN, PAIR, TWIN, WRONG, fill_judged


@pytest.fixture
def store(settings: ServerSettings):
    opened = Store.open(settings)
    yield opened
    opened.close()


def read(settings: ServerSettings) -> Quality:
    found = Quality.load(project_dir(settings, Project(id=PROJECT)))
    assert found is not None
    return found


def test_planted_wrong_label_is_the_first_suspect(store: Store, settings: ServerSettings) -> None:
    fill_judged(store, settings)
    found = read(settings)
    assert found.facts.suspects >= 1
    assert found.judged.ids[0] == WRONG
    names = found.facts.names
    assert (names[found.judged.labels[0]], names[found.judged.answers[0]]) == (GIVEN, CLASSES[WRONG % 3])
    assert len(found.judged) == 91


def test_planted_duplicates_are_groups_and_contradictions_come_first(store: Store, settings: ServerSettings) -> None:
    fill_judged(store, settings)
    found = read(settings)
    groups = [found.grouped.of(number, number + 1).ids.tolist() for number in range(found.grouped.count)]
    assert groups[0] == [WRONG, TWIN]
    assert found.facts.contradicting == 1
    assert sorted(groups[1:]) == [list(PAIR), list(COPIES)]
    assert found.facts.compared == 119
    identical = found.grouped.ids[found.grouped.cosines == 1]
    assert identical.tolist() == list(COPIES)


def test_answers_to_control_picks_are_compared_with_their_labels(store: Store, settings: ServerSettings) -> None:
    fill_judged(store, settings)
    found = read(settings)
    wrong = found.control.ids[found.control.labels != found.control.answers]
    assert sorted(wrong.tolist()) == list(MISTAKEN)
    assert len(found.control) == 30
    assert dict(zip(found.classes.tolist(), found.picked.tolist(), strict=True)) == {"red": 0, "green": 31, "blue": 0}
    assert found.labelled.sum() == 91


def test_nothing_is_computed_again_until_something_came(store: Store, settings: ServerSettings) -> None:
    fill_judged(store, settings)
    first = read(settings).facts.at
    Insights(settings, store, [quality.refresh]).refresh(PROJECT)
    assert read(settings).facts.at == first
    store.put_answers(PROJECT, {WRONG: StoredAnswer(AnswerKind.LABEL, CLASSES[WRONG % 3])})
    store.change(PROJECT, round=5)
    Insights(settings, store, [quality.refresh]).refresh(PROJECT)
    found = read(settings)
    assert found.facts.at > first
    assert WRONG not in found.judged.ids[: found.facts.suspects]
    assert found.facts.contradicting == 0
    assert found.grouped.count == 3


@pytest.mark.parametrize("connects_again", [False, True])
def test_project_that_is_forgotten_while_its_quality_is_written_leaves_none(
    store: Store, settings: ServerSettings, monkeypatch: pytest.MonkeyPatch, connects_again: bool
) -> None:
    fill_judged(store, settings)
    store.change(PROJECT, round=5)
    first, save = read(settings).facts.at, np.savez

    def forget_and_save(path: Path, **arrays: Any) -> None:
        store.forget(store.project(PROJECT))
        if connects_again:
            store.connect(PROJECT, "another")
        save(path, **arrays)

    monkeypatch.setattr(np, "savez", forget_and_save)
    Insights(settings, store, [quality.refresh]).refresh(PROJECT)
    assert read(settings).facts.at == first


def test_project_without_features_says_why_and_has_the_rest(store: Store, settings: ServerSettings) -> None:
    fill(store, settings)
    store.put_digests(PROJECT, dict.fromkeys(COPIES, f"{COPIES[0]:032x}"))
    Insights(settings, store, [quality.refresh]).refresh(PROJECT)
    found = read(settings)
    assert "pretrained encoder" in found.facts.without_judgement
    assert "pretrained encoder" in found.facts.without_comparison
    assert found.grouped.ids.tolist() == list(COPIES)
    assert found.labelled.sum() == 91


def test_project_without_labels_and_one_that_is_gone_stand(store: Store, settings: ServerSettings) -> None:
    fill_judged(store, settings)
    store.clear_tasks(PROJECT, answer=AnswerKind.NONE, label="")
    store.change(PROJECT, round=6)
    insights = Insights(settings, store, [quality.refresh])
    insights.refresh(PROJECT)
    found = read(settings)
    assert len(found.judged) == 0
    assert "two" in found.facts.without_judgement
    assert np.array_equal(found.labelled, [0, 0, 0])
    insights.refresh(99)


def test_ten_thousand_classes_stand(store: Store, settings: ServerSettings) -> None:
    fill_judged(store, settings)
    choices = "".join(f'<Choice value="class {number}"/>' for number in range(10_000))
    config = f'<View><Image name="image" value="$image"/><Choices name="colour" toName="image">{choices}</Choices></View>'
    store.put_answers(PROJECT, {task: StoredAnswer(AnswerKind.LABEL, f"class {task % 40}") for task in range(1, 91)})
    store.change(PROJECT, config_read=config, label_config=config)
    Insights(settings, store, [quality.refresh]).refresh(PROJECT)
    found = read(settings)
    assert len(found.classes) == 10_000
    assert len(found.judged) > 50
