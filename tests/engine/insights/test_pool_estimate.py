"""The pool estimate that the worker computes after a training, on a project whose truth is known."""

import numpy as np
import pytest

from pt4al_backend import wilson
from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.insights import pool_estimate, quality
from pt4al_backend.engine.insights.background import Insights
from pt4al_backend.engine.insights.pool_estimate import Estimated, estimate_of
from pt4al_backend.state.schema import AnswerKind
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support.estimated import IMAGES, features_of, fill_estimated, head
from tests.support.filled import PROJECT
from tests.support.images import CLASSES


@pytest.fixture
def store(settings: ServerSettings):
    opened = Store.open(settings)
    yield opened
    opened.close()


def read(store: Store, settings: ServerSettings) -> Estimated | None:
    project = store.project(PROJECT)
    assert project is not None
    return estimate_of(settings.data_dir, project)[0]


def truth() -> float:
    """How much of the pool the head is right about."""
    answers = head().logits(features_of(IMAGES)).argmax(1)
    return float((answers == np.arange(1, IMAGES + 1) % len(CLASSES)).mean())


def test_estimate_holds_the_truth_and_is_narrower_than_the_control_picks_alone(store: Store, settings: ServerSettings) -> None:
    fill_estimated(store, settings, head())
    found = read(store, settings)
    assert found is not None
    assert found.picks == 31
    assert found.low < truth() < found.high
    assert found.high - found.low < wilson.width(found.value, 31)
    assert found.worth > 31


def test_estimate_is_of_one_model_alone(store: Store, settings: ServerSettings) -> None:
    fill_estimated(store, settings, head())
    store.change(PROJECT, model="projects/7/learn-4/result")
    assert read(store, settings) is None


def test_head_on_another_encoder_is_not_estimated_by_these_features(store: Store, settings: ServerSettings) -> None:
    fill_estimated(store, settings, head(), made_on="2" * 64)
    assert read(store, settings) is None


def test_large_pool_is_estimated_from_a_part_of_it(
    store: Store, settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_estimated(store, settings, head())
    whole = read(store, settings)
    monkeypatch.setattr(pool_estimate, "MOST_READ", 100)
    monkeypatch.setattr(pool_estimate, "VERSION", "another")
    Insights(settings, store, [pool_estimate.refresh]).refresh(PROJECT)
    part = read(store, settings)
    assert whole is not None
    assert part is not None
    assert part.value == pytest.approx(whole.value, abs=0.05)
    assert part.worth < whole.worth


@pytest.mark.parametrize("made", [head(100.0), head(0.01), None], ids=["sure", "unsure", "network"])
def test_control_picks_stand_alone_where_confidence_says_nothing(store: Store, settings: ServerSettings, made) -> None:
    fill_estimated(store, settings, made)
    assert read(store, settings) is None


def test_estimate_is_made_again_when_labels_were_cross_validated_again(store: Store, settings: ServerSettings) -> None:
    fill_estimated(store, settings, head())
    before = read(store, settings)
    insights = Insights(settings, store, [quality.refresh, pool_estimate.refresh])
    picks = store.control_ids(PROJECT)
    store.put_answers(PROJECT, {int(task): StoredAnswer(AnswerKind.LABEL, "red") for task in picks[picks <= 90][:10]})
    insights.refresh(PROJECT)
    assert read(store, settings) == before
    store.change(PROJECT, round=5)
    insights.refresh(PROJECT)
    after = read(store, settings)
    assert before is not None
    assert after is not None
    assert after.value < before.value
