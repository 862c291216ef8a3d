"""Tables of finished rounds: mean and standard deviation over seeds, and the paired difference to one arm. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Json = dict[str, Any]

#: arm -> seed -> labels -> value
Values = dict[str, dict[int, dict[int, float]]]


def values(records: Iterable[tuple[str, Json]]) -> Values:
    """Test values by arm, seed and number of labels; ``records`` are pairs of an arm and the record of a round."""
    found: Values = defaultdict(lambda: defaultdict(dict))
    for arm, record in records:
        if record["value"] is not None:
            found[arm][record["seed"]][record["labels"]] = record["value"]
    return found


def table(found: Values, baseline: str) -> str:
    """A row for each arm, a column for each number of labels: mean ± sd over seeds in points, then over ``baseline``'s.

    The difference to ``baseline`` is paired by seed: its own sd, not that of two unpaired means; none for a single seed.
    """
    budgets = sorted({labels for seeds in found.values() for curve in seeds.values() for labels in curve})
    lines = [
        f"| arm | {' | '.join(f'{labels} labels' for labels in budgets)} |",
        f"| --- | {' | '.join('---' for _ in budgets)} |",
    ]
    for arm, seeds in found.items():
        cells = [_cell(seeds, found.get(baseline, {}), labels, paired=arm != baseline) for labels in budgets]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(seeds: Mapping[int, Mapping[int, float]], base: Mapping[int, Mapping[int, float]], labels: int, *, paired: bool) -> str:
    have = {seed: 100 * curve[labels] for seed, curve in seeds.items() if labels in curve}
    if not have:
        return ""
    text = f"{_spread(list(have.values()))} (n = {len(have)})"
    both = [value - 100 * base[seed][labels] for seed, value in have.items() if labels in base.get(seed, {})]
    return f"{text}; {_spread(both, sign='+')}" if paired and both else text


def _spread(numbers: Sequence[float], sign: str = "") -> str:
    mean = f"{np.mean(numbers):{sign}.1f}"
    return f"{mean} ± {np.std(numbers, ddof=1):.1f}" if len(numbers) > 1 else mean
