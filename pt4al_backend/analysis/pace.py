"""How fast people label, from the labels of each quarter of an hour.

Nobody says when they pause. So labels per hour are counted over those quarters alone in which something was labelled.
"""

from collections.abc import Iterable, Sequence

QUARTER = 900  # seconds
QUARTERS = 4  # of an hour
HOURS_SHOWN = 24

#: Labels of one annotator in one quarter of an hour, counted from 1970 in UTC: annotator, quarter, labels.
Count = tuple[int | None, int, int]


def per_hour(counts: Iterable[Count]) -> float | None:
    """Labels per hour of labelling, by all whose counts these are together; None if there are none."""
    labels, quarters = 0, set[int]()
    for _, quarter, number in counts:
        labels += number
        quarters.add(quarter)
    return QUARTERS * labels / len(quarters) if quarters else None


def since(counts: Iterable[Count], seconds: float) -> int:
    """Labels since a time, which is on a quarter."""
    return sum(labels for _, quarter, labels in counts if quarter * QUARTER >= seconds)


def by_hour(counts: Sequence[Count], now: float) -> list[tuple[int, int]]:
    """The hours of the last day, the present one last: when each began, and what was labelled in it."""
    present = int(now) // (QUARTERS * QUARTER)
    labels = dict.fromkeys(range(present - HOURS_SHOWN + 1, present + 1), 0)
    for _, quarter, number in counts:
        hour = quarter // QUARTERS
        if hour in labels:
            labels[hour] += number
    return [(hour * QUARTERS * QUARTER, number) for hour, number in labels.items()]


def midnight(now: float, utc_offset: int) -> int:
    """When the day began where clocks are ``utc_offset`` minutes ahead of UTC."""
    ahead = 60 * utc_offset
    return int(now + ahead) // 86_400 * 86_400 - ahead
