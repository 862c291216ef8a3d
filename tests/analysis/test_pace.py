"""How fast people label."""

from hypothesis import given
from hypothesis import strategies as st

from pt4al_backend.analysis.pace import by_hour, midnight, per_hour, since

NOW = 1_800_000_000.0  # 08:00 UTC
QUARTER = int(NOW) // 900


def test_pauses_do_not_count() -> None:
    assert per_hour([]) is None
    assert per_hour([(4, QUARTER, 20), (4, QUARTER - 40, 30)]) == 100
    assert per_hour([(4, QUARTER, 20), (5, QUARTER, 30)]) == 200  # two people at a time


def test_hours_of_the_last_day_are_all_there() -> None:
    found = by_hour([(4, QUARTER, 3), (5, QUARTER, 4), (4, QUARTER - 1, 5), (4, QUARTER - 4 * 24, 9)], NOW)
    assert len(found) == 24
    assert found[-1] == (NOW, 7)
    assert found[-2] == (NOW - 3600, 5)
    assert sum(labels for _, labels in found) == 12


def test_day_begins_at_the_viewers_midnight() -> None:
    assert midnight(NOW, 0) == NOW - 8 * 3600
    assert midnight(NOW, 330) == NOW - 13.5 * 3600
    assert midnight(NOW, -600) == NOW - 22 * 3600
    counts = [(4, QUARTER - 4 * 9, 5), (4, QUARTER, 2)]
    assert since(counts, midnight(NOW, 0)) == 2
    assert since(counts, midnight(NOW, 120)) == 7


@given(st.floats(0, 4e9), st.integers(-14 * 4, 14 * 4).map(lambda quarters: 15 * quarters))
def test_every_midnight_is_on_a_quarter_within_the_last_day(now: float, utc_offset: int) -> None:
    begun = midnight(now, utc_offset)
    assert begun % 900 == 0
    assert 0 <= now - begun < 86_400
