"""The learning curve: which rounds have a point, and what its interval is worth."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pt4al_backend.analysis.learning_curve import Point, curve, picks_to_halve
from pt4al_backend.learn.labels.intervals import share
from pt4al_backend.measures import Measured
from tests.support.curves import counted

COUNTS = st.integers(1, 3000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


def test_round_without_model_or_without_control_pick_has_no_point() -> None:
    measured = Measured(value=0.5, low=0.2, high=0.8)
    assert Point.of(1, 0, measured, 4) is None
    assert Point.of(1, 20, measured, 0) is None
    assert Point.of(1, 20, Measured(), 4) is None


def test_points_are_in_the_order_of_the_rounds() -> None:
    assert [each.round for each in curve([counted(3, 30, 5, 10), None, counted(1, 10, 5, 10)])] == [1, 3]


@given(COUNTS)
def test_control_picks_of_an_accuracy_count_one_by_one(count: tuple[int, int]) -> None:
    right, total = count
    assert abs(counted(1, 10, right, total).shares() - total) < 1e-3 * total + 1e-6


@given(COUNTS)
def test_control_picks_that_halve_an_interval_do(count: tuple[int, int]) -> None:
    right, total = count
    point = counted(1, 10, right, total)
    more = picks_to_halve(point)
    scale = -(-(total + more) // total)  # at least as many picks, of which the same share is right
    assert more > 0
    then = share(np.arange(scale * total) < scale * right)
    assert then["high"] is not None
    assert then["low"] is not None
    assert then["high"] - then["low"] <= point.width / 2 + 1e-6


def test_twelve_control_picks_say_how_many_more_would_halve_their_interval() -> None:
    point = counted(1, 40, 11, 12)
    assert round(point.width, 2) == 0.34
    assert picks_to_halve(point) == 33


def test_measure_without_counts_is_worth_what_its_interval_is() -> None:
    narrow = Point(1, 40, 0.6, 0.58, 0.62, 50)
    assert narrow.shares() == 10 * 50  # pixels are many, the images they are of are not
    wide = Point(1, 40, 0.6, 0.0, 1.0, 3)
    assert wide.shares() == 1
    alike = Point(1, 40, 1.0, 1.0, 1.0, 12)
    assert alike.shares() == 12
