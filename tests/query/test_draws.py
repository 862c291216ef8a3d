from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pt4al_backend.query.draws import STEP, even_intervals, interleave, lowest, queue_scores, uniform_order

unit = st.floats(0, 1, allow_nan=False, allow_subnormal=False)


@given(st.integers(0, 2000), st.integers(0, 2000))
def test_even_intervals_are_distinct_and_spread(n: int, k: int) -> None:
    positions = even_intervals(n, k)
    assert len(positions) == min(n, k)
    if len(positions):
        assert positions[0] == 0
        assert positions[-1] < n
        # The circle of n positions is cut into k arcs whose lengths differ by one at most.
        gaps = np.diff(np.append(positions, n))
        assert gaps.min() >= 1
        assert gaps.max() - gaps.min() <= 1


def test_even_intervals_of_the_paper_take_every_fifth() -> None:
    assert even_intervals(5_000, 1_000).tolist() == list(range(0, 5_000, 5))


def test_even_intervals_of_nothing_are_none() -> None:
    assert even_intervals(0, 5).tolist() == even_intervals(5, 0).tolist() == even_intervals(5, -1).tolist() == []


@given(st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0]), max_size=30), st.integers(0, 40), st.randoms())
def test_lowest_come_first_and_ties_go_by_id(drawn: list[float], k: int, chance: Random) -> None:
    scores = np.array(drawn, dtype=np.float64)
    ids = np.array(chance.sample(range(1000), len(drawn)), dtype=np.int64)
    expected = sorted(range(len(drawn)), key=lambda i: (scores[i], ids[i]))[:k]
    assert lowest(scores, ids, k).tolist() == expected


@given(st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, max_size=50), st.integers(0, 2**70), st.data())
def test_uniform_order_of_an_id_does_not_depend_on_the_others(ids: list[int], seed: int, data: st.DataObject) -> None:
    order = uniform_order(np.array(ids, dtype=np.int64), seed)
    assert np.all((order >= 0) & (order < 1))
    kept = data.draw(st.lists(st.integers(0, len(ids) - 1), unique=True) if ids else st.just([]))
    subset = np.array([ids[i] for i in kept], dtype=np.int64)
    assert uniform_order(subset, seed).tolist() == order[np.array(kept, dtype=np.int64)].tolist()


@pytest.mark.parametrize("seed", [0, 1, 2**63])
def test_uniform_order_is_uniform_over_consecutive_ids(seed: int) -> None:
    n = 20_000
    order = uniform_order(np.arange(1, n + 1), seed)
    assert len(np.unique(order)) == n
    # Kolmogorov's distance exceeds 1.95 / sqrt(n) in one of a thousand truly uniform samples; these are fixed.
    assert np.abs(np.sort(order) - (np.arange(n) + 0.5) / n).max() < 1.95 / np.sqrt(n)
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.03


def test_uniform_order_depends_on_the_seed() -> None:
    ids = np.arange(5_000)
    assert abs(np.corrcoef(uniform_order(ids, 0), uniform_order(ids, 1))[0, 1]) < 0.05


@given(st.integers(0, 300), st.integers(0, 300))
def test_control_picks_are_spread_and_come_first(n_query: int, n_control: int) -> None:
    places = interleave(n_query, n_control)
    assert len(places) == n_query + n_control
    assert places.sum() == n_control
    if n_control:
        assert places[0]
        gaps = np.diff(np.append(np.flatnonzero(places), len(places)))
        assert gaps.max() - gaps.min() <= 1


def assert_servable(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    queue = queue_scores(scores)
    assert queue.shape == scores.shape
    assert np.all((queue >= 0) & (queue <= 1))
    assert np.all(np.diff(queue) > 0.99 * STEP)  # .01 for rounding
    return queue


@given(st.lists(unit, max_size=200).map(np.array))
def test_queue_scores_ascend_strictly_in_the_order_given(scores: NDArray[np.float64]) -> None:
    assert_servable(scores)


@given(st.lists(st.integers(0, 900_000), max_size=200, unique=True))
def test_queue_scores_in_order_are_kept(millionths: list[int]) -> None:
    scores = np.sort(np.array(millionths)) * STEP
    assert assert_servable(scores) == pytest.approx(scores, abs=1e-12)


@given(st.lists(unit, min_size=1, max_size=100).map(np.array))
def test_queue_scores_change_no_more_than_the_order_needs(scores: NDArray[np.float64]) -> None:
    slack = len(scores) * STEP
    # Without room for the steps, the least ascending sequence above the scores is their running maximum.
    assert assert_servable(scores) == pytest.approx(np.maximum.accumulate(scores), abs=slack)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_20000_equal_queue_scores_become_distinct(value: float) -> None:
    queue = assert_servable(np.full(20_000, value))
    assert np.abs(queue - value).max() < 20_000 * STEP


def test_20000_queue_scores_in_any_order_ascend_with_their_reserve() -> None:
    rng = np.random.default_rng(0)
    assert_servable(rng.random(20_000))
    assert_servable(np.concatenate([np.sort(rng.random(10_000)), np.sort(rng.random(10_000))]))
    assert_servable(1.0 - rng.random(20_000) * 1e-7)


def test_queue_too_long_for_the_step_still_ascends() -> None:
    queue = queue_scores(np.ones(1_500_000))
    assert np.all(np.diff(queue) > 0)
    assert queue[0] >= 0
    assert queue[-1] <= 1


def test_queue_scores_outside_the_unit_interval_are_clipped_and_nan_is_refused() -> None:
    assert queue_scores(np.array([-0.1, 1.0000001])).tolist() == [0.0, 1.0]
    with pytest.raises(ValueError, match="not finite"):
        queue_scores(np.array([0.1, np.nan]))
