"""The learning curve: how good each round's model was on the control picks that there were then, by the labels it had learned.

Control picks accumulate: the picks of an early round measure all later models as well, beside those that came since. So the
points of a curve are not independent, and the later ones are measured more exactly.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pt4al_backend import wilson
from pt4al_backend.measures import Measured

MOST_IMAGES = 10**9  # beyond them an interval has no width
MOST_SHARES = 10  # images of a share that one control pick is worth: a mask holds many pixels, but they are of one image


@dataclass(frozen=True)
class Point:
    """One round's model.

    Attributes:
        round: its number; 0 for labels that a project brought.
        labels: that it had learned.
        value: its measure on the control picks, 0..1, with the bounds of the 95 % interval.
        picks: control picks that it was measured on.
    """

    round: int
    labels: int
    value: float
    low: float
    high: float
    picks: int

    @classmethod
    def of(cls, number: int, labels: int, measured: Measured, picks: int) -> "Point | None":
        """The point of a round; None if it has no model, or no control pick measured that."""
        value, low, high = measured.value, measured.low, measured.high
        if value is None or low is None or high is None or labels < 1 or picks < 1:
            return None
        return cls(number, labels, value, low, high, picks)

    @property
    def width(self) -> float:
        """Of the interval."""
        return self.high - self.low

    def shares(self) -> float:
        """How many images would measure a share of right answers as exactly: for an accuracy, the control picks.

        Other measures say it by their interval: mIoU counts pixels and mAP orders, neither has a count of right images.
        An interval without width is the bootstrap's of picks that are all alike; it says no more than their number does.
        """
        images = sharing(self.value, self.width) if self.width > 0 else float(self.picks)
        return min(max(images, 1.0), float(MOST_SHARES * self.picks))


def sharing(share: float, width: float) -> float:
    """Images whose Wilson interval about a share is that wide; not a whole number."""
    low, high = 0.0, 1.0
    while wilson.width(share, high) > width and high < MOST_IMAGES:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if wilson.width(share, middle) > width else (low, middle)
    return high


def picks_to_halve(point: Point) -> int:
    """Control picks that are missing before a point's interval is half as wide, if the measure stays what it is."""
    now = point.shares()
    then = sharing(point.value, wilson.width(point.value, now) / 2)
    return max(math.ceil(point.picks * (then / now - 1) - 1e-6), 0)


def curve(points: Iterable[Point | None]) -> tuple[Point, ...]:
    """The points that there are, by round."""
    return tuple(sorted((each for each in points if each is not None), key=lambda each: each.round))
