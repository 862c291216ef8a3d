"""The product's defaults, by a rule that is written down before the runs that it is applied to (docs/benchmark.md). Pure.

An arm that is significantly below the baseline at any label count of any comparison is out. Of the others the one with the
largest area over the baseline's is chosen, the mean over the comparisons; among those within ``EQUAL`` of it, one that keeps
PT4AL's batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pt4al_backend.aliases import Json
from pt4al_backend.bench import statistics, tables
from pt4al_backend.bench.records import Record
from pt4al_backend.bench.results import Results
from pt4al_backend.errors import ConfigError

#: The settings that the rule decides.
DECIDED = ("strategy", "first_query", "sampler", "batches", "batch_order")
EQUAL = 0.005  # areas that differ by half a point or less count as equal


@dataclass(frozen=True)
class Standing:
    """How an arm compares with the baseline over several comparisons.

    Attributes:
        arm: its name.
        settings: as its records have them.
        below: label counts at which it is significantly below, of all ``counts`` of them.
        gains: by how much its area is larger, in each comparison.
    """

    arm: str
    settings: Json
    below: int
    counts: int
    gains: tuple[float, ...]

    @property
    def gain(self) -> float:
        """Mean over the comparisons."""
        return float(np.mean(self.gains))

    @property
    def keeps_batches(self) -> bool:
        """Whether it sweeps two of PT4AL's batches or more."""
        batches = self.settings.get("batches") or self.settings.get("rounds", 1)
        return self.settings.get("strategy") == "pt4al" and batches > 1


def standings(comparisons: Sequence[Results]) -> list[Standing]:
    """Of the arms that all comparisons have, in the order of the first; the baseline is one of them.

    Raises:
        ConfigError: a comparison has no baseline, or no two label counts that all of its arms share.
    """
    arms = [arm for arm in comparisons[0].found.arms if all(arm in each.found.arms for each in comparisons)]
    parts = [_compared(each, arms) for each in comparisons]
    found = []
    for arm in arms:
        record: Record = comparisons[0].found.arms[arm][0]
        below, counts, gains = zip(*(part[arm] for part in parts), strict=True)
        found.append(Standing(arm, record.settings, sum(below), sum(counts), gains))
    return found


def _compared(results: Results, arms: Sequence[str]) -> dict[str, tuple[int, int, float]]:
    """By arm: label counts at which it is significantly below the baseline, all of them, and what its area has over it."""
    curves = statistics.only(results.curves, arms)
    over, baseline = statistics.shared(curves), results.baseline
    if baseline not in arms or len(over) < 2:
        what = f"{results.folder} has no two label counts that {baseline!r} and all other arms share."
        raise ConfigError(what, "Run all arms for as many rounds first, the baseline among them.")
    below = statistics.below(curves, baseline)
    base = statistics.areas(statistics.of(curves, baseline), over)
    found = {}
    for arm in arms:
        gained = statistics.Difference.of(statistics.areas(statistics.of(curves, arm), over), base)
        if gained is None:
            raise ConfigError(f"{arm!r} and {baseline!r} share no seed in {results.folder}.", "Run them with the same seeds.")
        found[arm] = len(below.get(arm, ())), len(statistics.budgets(curves)), gained.spread.mean
    return found


def choose(found: Sequence[Standing]) -> Standing:
    """The arm that the rule chooses; the baseline is never below itself, so there is one."""
    left = [each for each in found if not each.below]
    best = max(each.gain for each in left)
    equals = [each for each in left if each.gain >= best - EQUAL]
    return max(equals, key=lambda each: (each.keeps_batches, each.gain))


def table(found: Sequence[Standing], names: Sequence[str]) -> str:
    """A row for each arm, those with the largest gain first; ``names`` are those of the comparisons."""
    rows = [
        [
            each.arm,
            f"{each.below} of {each.counts}",
            f"{100 * each.gain:+.1f}",
            *(f"{100 * gain:+.1f}" for gain in each.gains),
            "yes" if each.keeps_batches else "",
        ]
        for each in sorted(found, key=lambda each: -each.gain)
    ]
    return tables.table(["arm", "below", "area, mean", *names, "batches"], rows)
