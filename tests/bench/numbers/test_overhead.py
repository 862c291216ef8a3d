"""What a larger pool costs, computed from a smaller one."""

import pytest

from pt4al_backend.bench.numbers.overhead import Spent, enlarged

SPENT = Spent(pretext=60.0, scoring=3.0, querying=0.5, starting=20.0, training=40.0)


def test_the_share_is_of_what_random_picks_take() -> None:
    assert SPENT.share == pytest.approx(100 * 63.5 / 60)


def test_a_pool_of_the_same_size_costs_the_same() -> None:
    assert enlarged(SPENT, 2_000, 2_000, 32) == SPENT


def test_the_pretext_grows_with_the_pool_and_the_starts_do_not() -> None:
    larger = enlarged(SPENT, 2_000, 10_000, 32)
    assert (larger.pretext, larger.starting) == (300.0, 20.0)
    assert SPENT.training < larger.training < 5 * SPENT.training  # more labels, each for fewer epochs
