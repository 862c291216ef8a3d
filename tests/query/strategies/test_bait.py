"""BAIT: what tells the head most about all tasks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pt4al_backend.query.strategies import ModelOutput, Request, bait
from tests.support.querying import build, query, unranked

Features = NDArray[np.float32]


def by_inverting(features: Features, labelled: Features, posteriors: Features, k: int) -> list[int]:
    """The published algorithm with matrices that are inverted again for each candidate."""
    units = [each.astype(np.float64) / np.linalg.norm(each, axis=1, keepdims=True) for each in (features, labelled)]
    top = posteriors.astype(np.float64).max(1)
    points = units[0] * np.sqrt(top * (1 - top))[:, None]
    known = units[1] * np.sqrt((top * (1 - top)).mean())
    everything = points.T @ points + known.T @ known

    def trace(picks: list[int]) -> float:
        information = known.T @ known + points[picks].T @ points[picks] + bait.PRIOR * np.eye(points.shape[1])
        return float(np.trace(np.linalg.inv(information) @ everything))

    picks: list[int] = []
    while len(picks) < min(2 * k, len(points)):
        picks.append(min(set(range(len(points))) - set(picks), key=lambda each: trace([*picks, each])))
    while len(picks) > k:
        picks.remove(min(picks, key=lambda each: trace([pick for pick in picks if pick != each])))
    return picks


@given(st.integers(0, 2**32), st.integers(1, 14), st.integers(0, 4), st.integers(1, 6))
def test_picks_are_those_of_inverting_every_matrix(seed: int, n: int, known: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    features, labelled = (rng.normal(size=(count, 3)).astype(np.float32) for count in (n, known))
    posteriors = rng.dirichlet(np.ones(4), n).astype(np.float32)
    expected = by_inverting(features, labelled, posteriors, min(k, n))
    assert query("bait", k, features, labelled, posteriors=posteriors) == expected


#: Four tasks, three and two point along an axis.
AXES = np.eye(3, dtype=np.float32)
FEATURES = AXES[[0, 0, 0, 0, 1, 1, 1, 2, 2]]
EVEN = np.full((9, 2), 0.5, np.float32)


def axes(picks: list[int]) -> list[int]:
    return sorted(FEATURES[picks].argmax(1).tolist())


def test_each_direction_is_queried_once() -> None:
    assert axes(query("bait", 3, FEATURES, AXES[:0], posteriors=EVEN)) == [0, 1, 2]


def test_what_more_tasks_are_like_is_queried_before_what_fewer_are() -> None:
    assert axes(query("bait", 2, FEATURES, AXES[:0], posteriors=EVEN)) == [0, 1]


def test_what_is_labelled_tells_nothing_new() -> None:
    assert axes(query("bait", 2, FEATURES, AXES[:1], posteriors=EVEN)) == [1, 2]


def test_unsure_tasks_tell_more_than_sure_ones() -> None:
    posteriors = EVEN.copy()
    posteriors[:7] = [0.999, 0.001]
    assert axes(query("bait", 1, FEATURES, AXES[:0], posteriors=posteriors)) == [2]


def test_round_1_is_designed_by_the_pretext_learners_features() -> None:
    output = ModelOutput(np.arange(9), {}, FEATURES, AXES[:0])
    found = build("bait").query(Request(unranked(9), 1, 3, 3, np.random.default_rng(0), output))
    assert axes(found.positions.tolist()) == [0, 1, 2]


def test_a_draw_of_a_large_pool_competes_and_the_rest_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bait, "MOST_CANDIDATES", 5)
    features = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    assert sorted(query("bait", 9, features, AXES[:0], query_size=2)) == list(range(9))
