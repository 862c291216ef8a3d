"""Statistics of learning curves over seeds. Pure.

Arms are compared seed by seed: the same seed means the same pool, initial weights and draws, which a paired difference
takes out. With one seed there is no standard deviation, and no test.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

#: labels -> value
Curve = Mapping[int, float]
#: seed -> curve
Seeds = Mapping[int, Curve]
#: arm -> its seeds
Curves = Mapping[str, Seeds]
Values = NDArray[np.float64]

LEVEL = 0.05
STEPS = 1001  # at which an interval of labels is looked for
EQUAL = 1e-9  # a standard deviation below it is that of rounding, far below what one test image is worth


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (n - 1) of ``n`` values; ``sd`` is None for one."""

    mean: float
    sd: float | None
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Sums up values, of which there is at least one."""
        found = list(values)
        sd = float(np.std(found, ddof=1)) if len(found) > 1 else None
        return cls(float(np.mean(found)), sd, len(found))


@dataclass(frozen=True)
class Difference:
    """Paired differences: their spread, the p value of the two-sided paired t test, and the 95 % interval of the mean."""

    spread: Spread
    p: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, ones: Mapping[int, float], others: Mapping[int, float]) -> "Difference | None":
        """``ones`` less ``others`` over the seeds that both have; None if they share none.

        Differences that are all equal are not tested: zero by construction, or by the coarseness of few test images.
        """
        both = sorted(ones.keys() & others.keys())
        if not both:
            return None
        spread = Spread.of(ones[seed] - others[seed] for seed in both)
        if spread.sd is None or spread.sd < EQUAL:
            return cls(spread, None, None, None)
        error, freedom = spread.sd / math.sqrt(spread.n), spread.n - 1
        p = 2 * float(stats.t.sf(abs(spread.mean) / error, freedom))
        half = error * float(stats.t.isf(LEVEL / 2, freedom))
        return cls(spread, p, spread.mean - half, spread.mean + half)


def holm(ps: Sequence[float]) -> list[float]:
    """p values adjusted for as many tests (Holm 1979), in the order given."""
    adjusted, least = [0.0] * len(ps), 0.0
    for rank, index in enumerate(np.argsort(ps, kind="stable").tolist()):
        least = max(least, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = least
    return adjusted


def at(seeds: Seeds, labels: int) -> dict[int, float]:
    """Values by seed at one number of labels."""
    return {seed: curve[labels] for seed, curve in seeds.items() if labels in curve}


def budgets(curves: Curves) -> list[int]:
    """All numbers of labels, ascending."""
    return sorted({labels for seeds in curves.values() for curve in seeds.values() for labels in curve})


def shared(curves: Curves) -> list[int]:
    """Numbers of labels that every arm has with one seed at least, ascending."""
    return [labels for labels in budgets(curves) if all(at(seeds, labels) for seeds in curves.values())]


def area(curve: Curve, over: Sequence[int]) -> float:
    """Area under a curve by the trapezoidal rule, divided by the range of ``over``, two budgets or more: a mean value."""
    return float(np.trapezoid([curve[labels] for labels in over], over)) / (over[-1] - over[0])


def areas(seeds: Seeds, over: Sequence[int]) -> dict[int, float]:
    """Areas by seed, of the seeds that have a value at each of ``over``."""
    return {seed: area(curve, over) for seed, curve in seeds.items() if curve.keys() >= set(over)}


def above(curves: Curves, baseline: str) -> Curves:
    """Curves of the differences to the baseline's, by arm and seed, where both have a value."""
    base = curves[baseline]
    return {
        arm: {
            seed: {labels: value - base[seed][labels] for labels, value in curve.items() if labels in base[seed]}
            for seed, curve in seeds.items()
            if seed in base
        }
        for arm, seeds in curves.items()
        if arm != baseline and base.keys() & seeds.keys()
    }


@dataclass(frozen=True)
class Wins:
    """At how many of the ``tested`` budgets one arm beat another."""

    won: int
    tested: int

    @property
    def share(self) -> float:
        """Won of tested; NaN if nothing was."""
        return self.won / self.tested if self.tested else math.nan


def wins(curves: Curves) -> dict[tuple[str, str], Wins]:
    """How often the first arm of a pair is above the second by a two-sided paired t test at 5 %.

    The pairwise comparison of BADGE (Ash et al. 2020), of one experiment only.
    """
    found = {}
    for one in curves:
        for other in curves:
            tests = [Difference.of(at(curves[one], each), at(curves[other], each)) for each in budgets(curves)]
            done = [(test.p, test.spread.mean) for test in tests if test is not None and test.p is not None]
            if one != other:
                found[one, other] = Wins(sum(p < LEVEL and mean > 0 for p, mean in done), len(done))
    return found


def complete(seeds: Seeds) -> Seeds:
    """The seeds that have a value at each number of labels that any of them has: a mean over others would change on the way."""
    every = set(budgets({"": seeds}))
    return {seed: curve for seed, curve in seeds.items() if curve.keys() >= every}


def reached(labels: Values, curve: Values, value: float) -> float:
    """Labels at which ``curve``, linear between ``labels``, which ascend, first reaches a value; infinite if it does not.

    What is reached at the first may have been reached before: the answer is then a bound.
    """
    there = np.flatnonzero(curve >= value - EQUAL)
    if not len(there):
        return math.inf
    around = slice(max(there[0] - 1, 0), there[0] + 1)
    return float(np.interp(value, curve[around], labels[around]))


@dataclass(frozen=True)
class Saved:
    """Labels to some value, infinite if it is not reached, by ``n`` seeds; ``low`` and ``high`` are a 95 % interval.

    There is none for one seed, nor where all seeds differ by the same.
    """

    labels: float
    low: float | None
    high: float | None
    n: int


def saved(ones: Seeds, others: Seeds) -> Saved | None:
    """Labels at which the mean curve of ``ones`` reaches what that of ``others`` has at its last; None if they share no seed.

    Of the seeds that both have, complete. The interval begins where the upper end of the difference's 95 % interval (paired, of
    t) first reaches zero, and ends where the lower end does: of curves that climb, the label counts at which a test cannot tell
    the one from the other (Fieller 1954).
    """
    both = sorted(complete(ones).keys() & complete(others).keys())
    if not both:
        return None
    points = budgets({"": {seed: ones[seed] for seed in both}})
    labels = np.union1d(points, np.linspace(points[0], points[-1], STEPS))
    target = budgets({"": {seed: others[seed] for seed in both}})[-1]
    above = np.array([np.interp(labels, points, [ones[seed][each] for each in points]) - others[seed][target] for seed in both])
    n, mean = len(both), above.mean(0)
    found = reached(labels, mean, 0.0)
    if n == 1:
        return Saved(found, None, None, n)
    sd = above.std(0, ddof=1)
    if (sd < EQUAL).all():  # as in a difference: equal by construction
        return Saved(found, None, None, n)
    half = sd / math.sqrt(n) * float(stats.t.isf(LEVEL / 2, n - 1))
    return Saved(found, reached(labels, mean + half, 0.0), reached(labels, mean - half, 0.0), n)


def entropy(counts: Sequence[int]) -> float:
    """Entropy of class counts by that of equal ones: 1 is balanced, 0 is one class only; NaN without any, or of one."""
    share = np.asarray(counts, np.float64) / max(sum(counts), 1)
    some = share[share > 0]
    return float(-(some * np.log(some)).sum() / math.log(len(counts))) if len(counts) > 1 and len(some) else math.nan
