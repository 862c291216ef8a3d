"""What a benchmark's table says of its numbers; the numbers themselves depend on the machine and are asserted nowhere."""

import pytest

from pt4al_backend.bench.numbers.table import Line, Times, markdown, number


def test_percentiles_are_times_of_requests() -> None:
    times = Times.of([k / 1000 for k in range(1, 201)])
    assert (times.count, times.p50, times.p99, times.longest) == (200, 0.1, 0.198, 0.2)


def test_percentiles_do_not_depend_on_the_order_of_requests() -> None:
    assert Times.of([3.0, 1.0, 2.0]) == Times.of([1.0, 2.0, 3.0])


def test_one_request_is_all_its_percentiles() -> None:
    assert Times.of([0.5]) == Times(1, 0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123, "0.0123"), (4.567, "4.57"), (99.96, "100"), (12.34, "12.3"), (1234.5, "1,230"), (0, "0"), (-2.5, "-2.50")],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("line", "holds"),
    [
        (Line("time", 50.0, "ms", 50.0), True),
        (Line("time", 50.1, "ms", 50.0), False),
        (Line("speed", 90.0, "%", 90.0, at_least=True), True),
        (Line("speed", 89.9, "%", 90.0, at_least=True), False),
        (Line("part", 1e9, "s"), True),
    ],
)
def test_a_bound_is_the_most_or_the_least(line: Line, holds: bool) -> None:
    assert line.holds is holds


def test_the_table_shows_value_bound_and_ratio_and_marks_what_is_missed() -> None:
    held, missed, part = (
        Line("a|b", 25.0, "ms", 50.0, note="n = 3"),
        Line("speed", 45.0, "%", 90.0, at_least=True),
        Line("c", 2.0, ""),
    )
    rows = markdown([held, missed, part]).splitlines()
    assert rows[2:] == [
        "| a\\|b | 25.0 ms | ≤ 50.0 ms | 0.500 | n = 3 |",
        "| speed | 45.0 % | ≥ 90.0 % | **0.500, missed** |  |",
        "| c | 2.00 |  |  |  |",
    ]
