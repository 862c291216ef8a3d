"""Statistics over seeds, against numbers worked out by hand and scipy's own tests."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pt4al_backend.bench.statistics import (
    Difference,
    Spread,
    Wins,
    above,
    areas,
    entropy,
    holm,
    of,
    reached,
    saved,
    shared,
    wins,
)
from tests.support.runs import curves, seeds


def difference(ones: dict[int, float], others: dict[int, float]) -> Difference | None:
    return Difference.of(pd.Series(ones), pd.Series(others))


def test_the_standard_deviation_is_that_of_a_sample() -> None:
    assert Spread.of([1.0, 2.0, 3.0]) == Spread(2.0, 1.0, 3)


def test_one_seed_has_neither_deviation_nor_test() -> None:
    assert Spread.of([0.5]) == Spread(0.5, None, 1)
    found = difference({3: 0.75}, {3: 0.5})
    assert found == Difference(Spread(0.25, None, 1), None, None, None)


def test_a_difference_is_paired_by_seed() -> None:
    found = difference({0: 3.0, 1: 5.0, 2: 7.0, 9: 100.0}, {2: 4.0, 1: 3.0, 0: 2.0, 8: -100.0})
    assert found is not None
    assert found.spread == Spread(2.0, 1.0, 3)  # 1, 2 and 3
    # t = 2 / (1 / √3) with two degrees of freedom, for which p = 1 - t / √(t² + 2)
    t = 2 * math.sqrt(3)
    assert found.p == pytest.approx(1 - t / math.sqrt(t * t + 2))
    # 95 % of t with two degrees of freedom lie within 4.3027
    assert (found.low, found.high) == pytest.approx((2 - 4.3027 / math.sqrt(3), 2 + 4.3027 / math.sqrt(3)), abs=1e-4)


@given(st.lists(st.tuples(st.integers(-99, 99), st.integers(-99, 99)), min_size=2, max_size=8))
def test_the_test_is_that_of_scipy(pairs: list[tuple[int, int]]) -> None:
    if len({one - other for one, other in pairs}) < 2:
        return  # without spread scipy has no answer
    ones, others = ([float(each) for each in side] for side in zip(*pairs, strict=True))
    found, expected = difference(dict(enumerate(ones)), dict(enumerate(others))), stats.ttest_rel(ones, others)
    assert found is not None
    assert found.p == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_differences_that_are_equal_but_for_rounding_are_not_tested() -> None:
    found = difference({0: 0.231, 1: 0.351}, {0: 0.211, 1: 0.331})
    assert found is not None
    assert (found.p, found.low, found.high) == (None, None, None)


def test_equal_differences_are_not_tested() -> None:
    same, ahead = difference({0: 0.5, 1: 0.25}, {0: 0.5, 1: 0.25}), difference({0: 0.75, 1: 0.5}, {0: 0.5, 1: 0.25})
    assert same is not None
    assert ahead is not None
    assert (same.spread.mean, same.p, same.low, same.high) == (0.0, None, None, None)
    assert (ahead.spread.mean, ahead.p, ahead.low, ahead.high) == (0.25, None, None, None)


def test_without_a_common_seed_there_is_no_difference() -> None:
    assert difference({0: 1.0}, {1: 1.0}) is None


@pytest.mark.parametrize(
    ("ps", "adjusted"),
    [
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),  # 3 * .01; then 2 * .03, which .04 may not fall below
        ([0.5, 0.6], [1.0, 1.0]),
        ([0.02], [0.02]),
        ([0.01, 0.01], [0.02, 0.02]),
        ([], []),
    ],
)
def test_holms_correction(ps: list[float], adjusted: list[float]) -> None:
    assert holm(ps) == pytest.approx(adjusted)


def test_the_area_is_a_mean_value_over_uneven_steps() -> None:
    # (0.2 + 0.4) / 2 * 10 + (0.4 + 0.6) / 2 * 30, by 40
    assert areas(seeds({0: {10: 0.2, 20: 0.4, 50: 0.6, 90: 9.0}}), [10, 20, 50])[0] == pytest.approx(0.45)


def test_areas_are_of_the_seeds_that_have_every_budget() -> None:
    both = curves({"a": {0: {10: 0.5, 20: 0.5}, 1: {10: 0.5}}, "b": {0: {10: 0.1, 20: 0.3, 30: 0.9}}})
    assert shared(both) == [10, 20]
    assert areas(of(both, "a"), [10, 20]).to_dict() == {0: 0.5}
    assert areas(of(both, "b"), [10, 20]).to_dict() == {0: pytest.approx(0.2)}


def test_a_win_is_a_significant_difference_at_one_budget() -> None:
    ahead = {seed: {10: 0.5 + noise, 20: 0.9 + noise} for seed, noise in enumerate([0.0, 0.01, -0.01])}
    behind = {seed: {10: 0.5 - noise, 20: 0.5} for seed, noise in enumerate([0.0, 0.01, -0.01])}
    alone = {7: {10: 0.99, 20: 0.99}}
    found = wins(curves({"ahead": ahead, "behind": behind, "alone": alone}))
    assert found["ahead", "behind"] == Wins(1, 2)
    assert found["behind", "ahead"] == Wins(0, 2)
    assert found["alone", "ahead"] == Wins(0, 0)
    assert math.isnan(found["alone", "ahead"].share)


def test_ties_win_nothing() -> None:
    same = {seed: {10: 0.5 + seed / 100} for seed in range(3)}
    assert set(wins(curves({"a": same, "b": same})).values()) == {Wins(0, 0)}


def test_differences_keep_seeds_and_budgets_that_both_have() -> None:
    both = {"base": {0: {10: 0.5}, 1: {10: 0.25}}, "a": {0: {10: 0.75, 20: 0.9}, 2: {10: 0.1}}}
    found = above(curves({**both, "of other seeds": {7: {10: 0.5}}}), "base")
    assert found.to_dict("index") == {("a", 0): {10: 0.25}}


@pytest.mark.parametrize(
    ("value", "labels"),
    [(0.5, 20.0), (0.55, 30.0), (0.6, 40.0), (0.2, 10.0), (0.1, 10.0), (0.61, math.inf)],
    ids=["at a point", "half-way", "at the last", "at the first", "before the first", "never"],
)
def test_where_a_curve_reaches_a_value(value: float, labels: float) -> None:
    assert reached(np.array([10, 20, 40]), np.array([0.2, 0.5, 0.6]), value) == pytest.approx(labels)


def test_a_curve_that_falls_back_counts_from_where_it_was_first() -> None:
    assert reached(np.array([10, 20, 30, 40]), np.array([0.2, 0.6, 0.4, 0.8]), 0.5) == pytest.approx(17.5)


def test_labels_saved_are_of_the_seeds_that_were_run_to_the_end_by_both() -> None:
    base = {0: {10: 0.5, 20: 0.7}, 1: {10: 0.3, 20: 0.5}, 2: {10: 0.4, 20: 0.6}}
    stopped = {**base, 1: {10: 0.3}}  # the same, but for a seed that a time limit ended
    found = saved(seeds(stopped), seeds(base))
    assert found is not None
    assert (found.labels, found.low, found.high, found.n) == (20, None, None, 2)
    assert saved(seeds({5: base[0]}), seeds(base)) is None


def test_the_interval_of_labels_saved_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    truth, held = 300.0, 0
    for _ in range(200):
        noise = rng.normal(0, 0.012, (2, 5, 4))
        base, ahead = (
            [dict(zip([100, 200, 300, 400], 0.2 + 0.04 * np.arange(4) + up + row, strict=True)) for row in rows]
            for up, rows in zip((0, 0.04), noise, strict=True)
        )
        found = saved(seeds(dict(enumerate(ahead))), seeds(dict(enumerate(base))))
        assert found is not None
        held += (found.low or 0) <= truth <= (found.high or 0)
    assert 184 <= held <= 198


@pytest.mark.parametrize(
    ("counts", "value"),
    [([5, 5, 5], 1.0), ([9, 0, 0], 0.0), ([1, 1, 0, 0], 0.5), ([3, 1], 0.8112781), ([0, 0], math.nan), ([4], math.nan)],
)
def test_entropy_of_class_counts(counts: list[int], value: float) -> None:
    assert entropy(counts) == pytest.approx(value, nan_ok=True)
