"""What more labels would bring: a power law through the learning curve, with what the control picks leave open.

The error of a model of n labels is taken to be

    e(n) = e(N) (f + (1 - f) ((n + m) / (N + m))^-c),    N the labels so far,

a power law with a share f that no label removes, and a shift m that bends its beginning (Hestness et al. 2017; Mahmood et al.
2022 compare such laws). A least-squares fit and its bootstrap have nothing to resample after one round, and no width where every
pick is right. So all laws of a grid are weighed by how well they agree with the curve (Bayes' rule, nothing is drawn at random):
each number comes with a 95 % interval, which is wide as long as little is known.

Two things make the points of a curve agree more or less than independent counts would. The picks of early rounds measure later
models as well, so what two points have in common counts once; and a model of the same labels, trained again, differs a little.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.analysis.learning_curve import Point

QUANTILES = (0.025, 0.5, 0.975)
MOST_POINTS = 40  # of a longer curve those are left out that lie closest together

LEVELS = 31  # of e(N), about the last point
DEVIATIONS = 5.0  # that they reach to either side
#: The laws' other parameters, and how likely each is before anything was measured: curves of the benchmark have such ones.
FLOORS = np.linspace(0.0, 1.0, 11)
FLOOR_WEIGHTS = np.array([0.09] * 10 + [0.1])  # that no label changes anything any more is a case of its own
EXPONENTS = np.geomspace(0.15, 4.0, 11)
SHIFTS = np.array([0.0, 0.25, 1.0, 3.0])
SHIFT_WEIGHTS = np.array([0.5, 0.2, 0.2, 0.1])

IN_COMMON = 0.6  # correlation of two models' being right about one image
RETRAINED = 0.02  # standard deviation between trainings, in arcsin of the root, half of it a share: 1 to 2 points of accuracy

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number, and its 95 % interval; infinite where no number of labels would do."""

    low: float
    middle: float
    high: float


class Forecast:
    """The laws that agree with a learning curve, each with its weight.

    Args:
        points: of one round or more, by round.
    """

    def __init__(self, points: Sequence[Point]) -> None:
        chosen = _spread(points)
        self.labels = points[-1].labels
        self._errors, self._floors, self._exponents, self._shifts, prior = _laws(points[-1])
        labels = np.array([point.labels for point in chosen], np.float64)
        found = np.array([_stable(point.value, point.shares()) for point in chosen])
        expected = np.stack([np.arcsin(np.sqrt(self._values(each))) for each in labels], 1)  # [laws, points]
        difference = expected - found
        precision = np.linalg.inv(_covariance(chosen))
        fit = -0.5 * ((difference @ precision) * difference).sum(1)
        weights = np.exp(fit - fit.max()) * prior
        self._weights: Values = weights / weights.sum()

    def _values(self, labels: float) -> Values:
        """The measure at a number of labels by each law, [laws]."""
        ratio = (labels + self._shifts) / (self.labels + self._shifts)
        law = self._floors + (1 - self._floors) * ratio**-self._exponents
        return np.clip(1 - self._errors * law, 0.0, 1.0)

    @cached_property
    def now(self) -> Estimate:
        """The measure of the model that there is, by all points of the curve together."""
        return self.at(self.labels)

    def at(self, labels: float) -> Estimate:
        """The measure of a model of so many labels."""
        return self._estimate(self._values(labels))

    def gain(self, more: float) -> Estimate:
        """What ``more`` labels add to the measure."""
        return self._estimate(self._gained(more))

    def chance_of(self, gain: float, more: float) -> float:
        """How likely ``more`` labels add ``gain`` or more, 0..1."""
        return float(self._weights[self._gained(more) >= gain].sum())

    def needed(self, gain: float) -> Estimate:
        """How many more labels add ``gain``; infinite where the law ends below that."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            left = (1 - gain / self._errors - self._floors) / (1 - self._floors)
            ratio = np.where(left > 0, np.maximum(left, 0.0) ** (-1 / self._exponents), math.inf)
        return self._estimate((ratio - 1) * (self.labels + self._shifts))

    def _gained(self, more: float) -> Values:
        return self._values(self.labels + more) - self._values(self.labels)

    def _estimate(self, values: Values) -> Estimate:
        order = np.argsort(values, kind="stable")
        reached = np.searchsorted(np.cumsum(self._weights[order]), QUANTILES)
        low, middle, high = values[order[np.minimum(reached, len(order) - 1)]].tolist()
        return Estimate(low, middle, high)


def _laws(last: Point) -> tuple[Values, Values, Values, Values, Values]:
    """Errors at the last point, floors, exponents, shifts in labels and prior weights of the laws, each [laws]."""
    about, deviation = _stable(last.value, last.shares()), 0.5 / math.sqrt(last.shares())
    reach = DEVIATIONS * math.hypot(deviation, RETRAINED)
    angles = np.linspace(max(about - reach, 0.0), min(about + reach, math.pi / 2), LEVELS)
    grid = np.meshgrid(np.cos(angles) ** 2, FLOORS, EXPONENTS, last.labels * SHIFTS, indexing="ij")
    errors, floors, exponents, shifts = (each.ravel() for each in grid)
    weights = FLOOR_WEIGHTS[:, None, None] * SHIFT_WEIGHTS
    return errors, floors, exponents, shifts, np.broadcast_to(weights, grid[0].shape).ravel()


def _stable(share: float, images: float) -> float:
    """The angle of a share, whose standard deviation is about 1 / (2 root images) whatever the share (Anscombe 1948)."""
    return math.asin(math.sqrt((share * images + 3 / 8) / (images + 3 / 4)))


def _covariance(points: Sequence[Point]) -> Values:
    """Of the points' angles, [points, points]; the picks of the smaller of two points are among those of the larger."""
    images = np.array([point.shares() for point in points])
    alone = 1 / (4 * images + 2)
    covariance: Values = IN_COMMON / (4 * np.maximum.outer(images, images) + 2)
    np.fill_diagonal(covariance, alone + RETRAINED**2)
    return covariance


def _spread(points: Sequence[Point]) -> Sequence[Point]:
    """At most ``MOST_POINTS`` of the points, the last among them, evenly by the logarithm of their labels."""
    if len(points) <= MOST_POINTS:
        return points
    labels = np.log([point.labels for point in points])
    wanted = np.linspace(labels.min(), labels.max(), MOST_POINTS)
    nearest = np.abs(labels[:, None] - wanted).argmin(0)
    return [points[k] for k in sorted({*nearest.tolist(), len(points) - 1})]
