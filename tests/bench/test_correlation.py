"""Spearman's rho and its interval, against scipy and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pt4al_backend.bench.correlation import Correlation, interval, ranks, spearman

PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=30)


@given(PAIRS)
def test_ranks_and_rho_are_those_of_scipy_also_with_ties(pairs: list[tuple[int, int]]) -> None:
    ones, others = np.array(pairs, np.float64).T
    assert ranks(ones).tolist() == stats.rankdata(ones).tolist()
    if len(set(ones)) > 1 and len(set(others)) > 1:
        assert spearman(ones, others) == pytest.approx(stats.spearmanr(ones, others).statistic, abs=1e-12)


def test_interval_is_that_of_resamples_each_ranked_again() -> None:
    rng = np.random.default_rng(1)
    ones = rng.integers(0, 8, 25).astype(np.float64)
    others = ones + rng.integers(0, 8, 25)
    draws = np.random.default_rng(7).integers(0, 25, (200, 25))
    rhos = [stats.spearmanr(ones[each], others[each]).statistic for each in draws]
    assert interval(ones, others, 7, resamples=200) == pytest.approx(np.quantile(rhos, [0.025, 0.975]), abs=1e-12)


def test_the_interval_of_many_images_is_made_in_parts_and_is_narrow() -> None:
    rng = np.random.default_rng(0)
    ones = rng.normal(size=5000)
    others = ones + rng.normal(size=5000)
    low, high = interval(ones, others, 0)
    assert low < spearman(ones, others) < high < low + 0.06


def test_agreement_is_certain_whatever_the_scale() -> None:
    values = np.array([1e-9, 2.0, 3.0, 1e9])
    assert Correlation.of(values, np.exp(-1 / values), np.array(["a"] * 4)) == Correlation(4, 1.0, 1.0, 1.0, 1.0)


def test_agreement_by_class_alone_vanishes_within_classes() -> None:
    easy, hard = np.arange(10.0), np.arange(100.0, 110.0)
    found = Correlation.of(np.append(easy, hard), np.append(easy[::-1], hard[::-1]), np.repeat(["easy", "hard"], 10))
    assert found.rho == pytest.approx(stats.spearmanr([*range(20)], [*range(9, -1, -1), *range(19, 9, -1)]).statistic)
    assert found.rho > 0
    assert found.within == pytest.approx(-1)


def test_a_class_of_one_image_says_nothing_within_it() -> None:
    assert Correlation.of(np.array([1.0, 2, 3]), np.array([1.0, 2, 0]), np.array(["a", "a", "b"])).within == pytest.approx(1)


def test_equal_losses_have_no_order() -> None:
    assert Correlation.of(np.ones(5), np.arange(5.0), np.array(["a"] * 5)) == Correlation(5, None, None, None, None)
