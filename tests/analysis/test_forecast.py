"""The forecast: what is said of more labels is in order, whatever the curve, and agrees with curves that are known."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pt4al_backend.analysis.forecast import MOST_POINTS, Estimate, Forecast
from pt4al_backend.analysis.learning_curve import Point
from tests.support.curves import counted

ROUNDING = 1e-9


@st.composite
def curves(draw: st.DrawFn) -> list[Point]:
    """Any curve: labels and picks may shrink, measures may fall."""
    rounds = draw(st.integers(1, 8))
    points = []
    for number in range(1, rounds + 1):
        total = draw(st.integers(1, 400))
        points.append(counted(number, draw(st.integers(1, 10**6)), draw(st.integers(0, total)), total))
    return points


def in_order(estimate: Estimate) -> bool:
    return estimate.low <= estimate.middle <= estimate.high


@settings(max_examples=60, deadline=None)
@given(curves(), st.integers(1, 10**6))
def test_any_curve_has_a_forecast_in_order(points: list[Point], more: int) -> None:
    forecast = Forecast(points)
    for estimate in (forecast.now, forecast.at(forecast.labels + more)):
        assert estimate.low >= 0
        assert estimate.high <= 1
        assert in_order(estimate)
    assert forecast.at(forecast.labels + more).middle >= forecast.now.middle - ROUNDING
    assert in_order(forecast.gain(more))
    assert forecast.gain(more).low >= 0
    assert 0 <= forecast.chance_of(0.01, more) <= 1 + ROUNDING
    needed = forecast.needed(0.03)
    assert needed.low > 0
    assert in_order(needed)


@settings(max_examples=30, deadline=None)
@given(curves(), st.integers(1, 10**5))
def test_more_labels_never_bring_less(points: list[Point], more: int) -> None:
    forecast = Forecast(points)
    assert forecast.gain(2 * more).middle >= forecast.gain(more).middle - ROUNDING
    assert forecast.chance_of(0.01, 2 * more) >= forecast.chance_of(0.01, more) - ROUNDING
    assert forecast.needed(0.02).middle >= forecast.needed(0.01).middle


def test_same_curve_has_the_same_forecast() -> None:
    points = [counted(1, 40, 6, 10), counted(2, 80, 14, 20)]
    assert Forecast(points).gain(80) == Forecast(points).gain(80)


def law(labels: int) -> float:
    return 1 - 2.0 * labels**-0.5


def measured(rounds: int, picks: int) -> list[Point]:
    """Control picks that come ``picks`` a round, right as often as a law says."""
    return [counted(n, 100 * n, round(law(100 * n) * picks * n), picks * n) for n in range(1, rounds + 1)]


def test_long_curve_of_many_picks_finds_the_law() -> None:
    forecast = Forecast(measured(12, 400))
    for labels in (1200, 1800, 2400):
        assert forecast.at(labels).low <= law(labels) <= forecast.at(labels).high
        assert abs(forecast.at(labels).middle - law(labels)) < 0.01
    needed = forecast.needed(0.01)
    true = (2.0 / (1 - law(1200) - 0.01)) ** 2 - 1200
    assert needed.low <= true <= needed.high
    assert needed.middle < 2 * true


def test_more_picks_narrow_the_forecast() -> None:
    widths = [Forecast(measured(5, picks)).gain(500) for picks in (5, 50, 500)]
    assert sorted((each.high - each.low for each in widths), reverse=True) == [each.high - each.low for each in widths]


def test_constant_measure_of_many_picks_leaves_little_to_win() -> None:
    flat = Forecast([counted(n, 100 * n, 180 * n, 200 * n) for n in range(1, 11)])
    assert flat.gain(1000).high < 0.03
    assert flat.gain(1000).middle < 0.01
    assert flat.needed(0.05).middle == math.inf


@pytest.mark.parametrize("picks", [1, 12, 1000])
def test_perfect_measure_has_an_interval_and_next_to_nothing_to_win(picks: int) -> None:
    perfect = Forecast([counted(n, 50 * n, picks * n, picks * n) for n in range(1, 4)])
    assert perfect.now.low < perfect.now.high
    assert perfect.gain(150).middle < 0.05


def test_one_round_of_twelve_picks_says_little() -> None:
    forecast = Forecast([counted(1, 40, 11, 12)])
    assert forecast.now.high - forecast.now.low > 0.25
    assert forecast.needed(0.03).high == math.inf


def test_very_long_curve_costs_no_more_and_keeps_its_last_point() -> None:
    points = [counted(n, 10 * n, min(9 * n, 10 * n), 10 * n) for n in range(1, 5 * MOST_POINTS)]
    forecast = Forecast(points)
    assert forecast.labels == points[-1].labels
    assert abs(forecast.now.middle - 0.9) < 0.02
