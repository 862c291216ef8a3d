"""Statistics of learning curves over seeds. Pure.

Arms are compared seed by seed: the same seed means the same pool, initial weights and draws, which a paired difference
takes out. With one seed there is no standard deviation, and no test.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

#: Values of all arms: a row for each (arm, seed), a column for each number of labels, ascending; NaN where a run has none.
Curves: TypeAlias = pd.DataFrame
#: Those of one arm: a row for each seed.
Seeds: TypeAlias = pd.DataFrame
Values = NDArray[np.float64]

LEVEL = 0.05
STEPS = 1001  # places at which an interval of labels is evaluated
EQUAL = 1e-9  # a standard deviation below it is that of rounding, far below what one test image is worth


def curves(values: Iterable[tuple[str, int, int, float]]) -> Curves:
    """Curves from (arm, seed, labels, value); arms stay in the order in which they come."""
    long = pd.DataFrame(values, columns=["arm", "seed", "labels", "value"])
    wide = long.pivot(index=["arm", "seed"], columns="labels", values="value")
    order = {arm: place for place, arm in enumerate(long["arm"].unique())}
    return wide.sort_index(level="arm", key=lambda arm: arm.map(order), sort_remaining=False)


def arms(curves: Curves) -> list[str]:
    """The names of the arms, in order."""
    return list(curves.index.get_level_values("arm").unique())


def of(curves: Curves, arm: str) -> Seeds:
    """The curves of one arm; none if there is no such arm."""
    return curves[curves.index.get_level_values("arm") == arm].droplevel("arm")


def only(curves: Curves, arms: Sequence[str]) -> Curves:
    """The curves of these arms."""
    return curves[curves.index.get_level_values("arm").isin(arms)]


def at(seeds: Seeds, labels: int) -> pd.Series:
    """Values by seed at one number of labels."""
    return seeds[labels].dropna() if labels in seeds else pd.Series(dtype=np.float64)


def budgets(curves: Curves | Seeds) -> list[int]:
    """All numbers of labels that have a value, ascending."""
    return [int(labels) for labels in curves.columns[curves.notna().any()]]


def shared(curves: Curves) -> list[int]:
    """Numbers of labels that every arm has with one seed at least, ascending."""
    return [int(labels) for labels in curves.columns[curves.notna().groupby(level="arm").any().all()]]


def complete(seeds: Seeds) -> Seeds:
    """The seeds that have a value at each number of labels that any has: a mean over others would change on the way."""
    return seeds[budgets(seeds)].dropna()


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (n - 1) of ``n`` values; ``sd`` is None for one."""

    mean: float
    sd: float | None
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Sums up values, of which there is at least one."""
        found = np.fromiter(values, np.float64)
        return cls(float(found.mean()), float(found.std(ddof=1)) if len(found) > 1 else None, len(found))


@dataclass(frozen=True)
class Difference:
    """Paired differences: their spread, the p value of the two-sided paired t test, and the 95 % interval of the mean."""

    spread: Spread
    p: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, ones: pd.Series, others: pd.Series) -> "Difference | None":
        """``ones`` less ``others`` over the seeds that both have; None if they share none.

        Differences that are all equal are not tested: zero by construction, or by the coarseness of few test images.
        """
        both = sorted(ones.index.intersection(others.index))
        if not both:
            return None
        ones, others = ones[both], others[both]
        spread = Spread.of(ones - others)
        if spread.sd is None or spread.sd < EQUAL:
            return cls(spread, None, None, None)
        test = stats.ttest_rel(ones, others)
        interval = test.confidence_interval(1 - LEVEL)
        return cls(spread, float(test.pvalue), float(interval.low), float(interval.high))


def holm(ps: Sequence[float]) -> list[float]:
    """p values adjusted for as many tests (Holm 1979), in the order given."""
    adjusted, least = [0.0] * len(ps), 0.0
    for rank, index in enumerate(np.argsort(ps, kind="stable").tolist()):
        least = max(least, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = least
    return adjusted


def areas(seeds: Seeds, over: Sequence[int]) -> pd.Series:
    """Area under each seed's curve by the trapezoidal rule, divided by the range of ``over``, two budgets or more.

    That is a mean value; of the seeds that have a value at each of ``over``.
    """
    whole = seeds.reindex(columns=over).dropna()
    return pd.Series(np.trapezoid(whole, over, axis=1) / (over[-1] - over[0]), whole.index)


def above(curves: Curves, baseline: str) -> Curves:
    """Curves of the differences to the baseline's, where both have a value."""
    others = curves[curves.index.get_level_values("arm") != baseline]
    base = of(curves, baseline).reindex(others.index.get_level_values("seed"))
    return (others - base.to_numpy()).dropna(how="all").dropna(axis="columns", how="all")


def below(curves: Curves, baseline: str) -> dict[str, list[int]]:
    """By arm, the label counts at which it is below the baseline by the paired t test at 5 %, by Holm's rule over the arms."""
    base, found = of(curves, baseline), dict[str, list[int]]()
    for labels in budgets(curves):
        tests = {arm: Difference.of(at(of(curves, arm), labels), at(base, labels)) for arm in arms(curves) if arm != baseline}
        tested = {arm: (test.p, test.spread.mean) for arm, test in tests.items() if test is not None and test.p is not None}
        adjusted = holm([p for p, _ in tested.values()])
        for (arm, (_, mean)), p in zip(tested.items(), adjusted, strict=True):
            if p < LEVEL and mean < 0:
                found.setdefault(arm, []).append(labels)
    return found


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
    for one in arms(curves):
        for other in arms(curves):
            if one == other:
                continue
            ones, others = of(curves, one), of(curves, other)
            tests = [Difference.of(at(ones, each), at(others, each)) for each in budgets(curves)]
            done = [(test.p, test.spread.mean) for test in tests if test is not None and test.p is not None]
            found[one, other] = Wins(sum(p < LEVEL and mean > 0 for p, mean in done), len(done))
    return found


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
    """Labels at which the mean curve of ``ones`` reaches the last value of that of ``others``; None if they share no seed.

    Of the seeds that both have, complete. The interval begins where the upper end of the difference's 95 % interval (paired, of
    t) first reaches zero, and ends where the lower end does: of curves that climb, the label counts at which a test cannot tell
    the one from the other (Fieller 1954).
    """
    ones, others = complete(ones), complete(others)
    both = sorted(ones.index.intersection(others.index))
    if not both:
        return None
    points, last = np.array(ones.columns), others.columns[-1]
    labels = np.union1d(points, np.linspace(points[0], points[-1], STEPS))
    above = np.array([np.interp(labels, points, ones.loc[seed]) - others.loc[seed, last] for seed in both])
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
    return float(stats.entropy(counts, base=len(counts))) if len(counts) > 1 and any(counts) else math.nan
