"""The tables of a report, in Markdown. Pure. Values are shown in points, differences are those to the baseline arm."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from pt4al_backend.bench import statistics
from pt4al_backend.bench.balance import Balances
from pt4al_backend.bench.costs import Costs
from pt4al_backend.bench.numbers.table import number
from pt4al_backend.bench.records import RANK, Record
from pt4al_backend.bench.statistics import LEVEL, Curves, Difference, Spread, at, of

#: In a cell for which there is nothing to say.
NONE = ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; all columns but the first ``left`` are aligned to the right."""
    frame = pd.DataFrame([[cell.replace("|", "\\|") for cell in row] for row in [head, *rows]])
    aligned = ["left" if column < left else "right" for column in range(len(head))]
    shown: str = frame[1:].to_markdown(
        index=False, headers=frame.iloc[0].tolist(), tablefmt="pipe", colalign=aligned, disable_numparse=True
    )
    return shown


def values(curves: Curves) -> str:
    """A row for each arm, a column for each number of labels: mean ± sd, and the number of seeds."""
    budgets = statistics.budgets(curves)
    rows = [[arm, *(_value(at(of(curves, arm), labels)) for labels in budgets)] for arm in statistics.arms(curves)]
    return table(["labels", *map(_count, budgets)], rows)


def differences(curves: Curves, baseline: str) -> str:
    """The same with paired differences and the p value of the paired t test, by Holm's rule over the arms of a column."""
    budgets, base = statistics.budgets(curves), of(curves, baseline)
    others = [arm for arm in statistics.arms(curves) if arm != baseline]
    columns = [_tested([Difference.of(at(of(curves, arm), labels), at(base, labels)) for arm in others]) for labels in budgets]
    rows = [[arm, *cells] for arm, cells in zip(others, zip(*columns, strict=True), strict=True)]
    return table(["labels", *map(_count, budgets)], rows)


def areas(curves: Curves, baseline: str) -> str:
    """Normalised area under the curve over the budgets that all arms share, and the difference with its 95 % interval."""
    over = statistics.shared(curves)
    base = statistics.areas(of(curves, baseline), over)
    rows = []
    for arm in statistics.arms(curves):
        own = statistics.areas(of(curves, arm), over)
        other = Difference.of(own, base) if arm != baseline else None
        rows.append([arm, _value(own), *(_interval(other) if other else (NONE, NONE))])
    return table(["arm", "area", "difference", "95 % interval"], rows)


def wins(curves: Curves) -> str:
    """How often the arm of the row beats that of the column, and how often a column was beaten on average: less is better."""
    found, arms = statistics.wins(curves), statistics.arms(curves)
    rows = [[one, *(_won(found[one, other]) if one != other else NONE for other in arms)] for one in arms]
    shares = [[found[one, other].share for one in arms if one != other and found[one, other].tested] for other in arms]
    rows.append(["*beaten, mean*", *(f"{100 * np.mean(each):.0f} %" if each else NONE for each in shares)])
    return table(["row beats column", *arms], rows)


def saved(curves: Curves, baseline: str) -> str:
    """Labels at which an arm's mean curve reaches the last value of the baseline's, by how many seeds, and their share."""
    base = statistics.complete(of(curves, baseline))
    last = base.columns[-1]
    rows = []
    for arm in statistics.arms(curves):
        found, own = statistics.saved(of(curves, arm), base), statistics.budgets(of(curves, arm))
        if found is None:
            rows.append([arm, NONE, NONE, NONE])
            continue
        labels, share = "not reached", NONE
        if math.isfinite(found.labels):
            labels, share = _reached(found.labels, own), f"{'≤ ' * (found.labels == own[0])}{found.labels / last:.2f}"
        between = NONE
        if arm != baseline and found.low is not None and found.high is not None:
            low, high = _reached(found.low, own), _reached(found.high, own)
            between = low if math.isinf(found.low) else f"{low} to {high}"
        rows.append([arm, f"{labels} ({found.n})", share, between])
    return table(["arm", f"labels to {100 * base[last].mean():.1f}", f"of {_count(last)}", "95 % interval of labels"], rows)


def seconds(costs: Costs, rounds: int, baseline: str) -> str:
    """Seconds of the ranking, of each other part in a round, and of whole runs, these also by the baseline's."""
    repeated = [part for part in costs if part != RANK]
    means, totals = costs.groupby(level="arm", sort=False).mean(), costs.sum(axis="columns")
    base = totals[totals.index.get_level_values("arm") == baseline].mean()  # NaN if there is no baseline
    rows = []
    for arm, own in totals.groupby(level="arm", sort=False):
        total = Spread.of(own)
        each = (number(means.loc[arm, part] / rounds) for part in repeated)
        ratio = f"{total.mean / base:.2f}" if base > 0 else NONE
        rows.append([arm, number(means.loc[arm, RANK]), *each, f"{_spread(total, 0)} ({total.n})", ratio])
    head = ["arm", "rank, once", *(f"{part}, a round" for part in repeated), f"run of {rounds}"]
    return table([*head, f"by {baseline}"], rows)


def notes(arms: Mapping[str, Sequence[Record]]) -> str:
    """What was not as requested, by arm: in how many rounds, of how many seeds; "" if all was."""
    found = pd.DataFrame(
        [(arm, note, record.seed) for arm, rounds in arms.items() for record in rounds for note in record.notes],
        columns=["arm", "note", "seed"],
    )
    counts = found.groupby(["arm", "note"], sort=False)["seed"].agg(["size", "nunique"])
    rows = [[arm, note, str(rounds), str(seeds)] for (arm, note), rounds, seeds in counts.itertuples()]
    return table(["arm", "what", "rounds", "seeds"], rows, left=2) if rows else ""


def balance(found: Balances) -> str:
    """Entropy of the queries' classes, mean ± sd over the seeds, and the smallest and the largest count of a class."""
    labels = sorted(found["labels"].unique())
    rows = []
    for arm, own in found.groupby("arm", sort=False):
        queries = [own[own["labels"] == each] for each in labels]
        rows.append([arm, *(NONE if each.empty else _balance(each) for each in queries)])
    return table(["labels", *map(_count, labels)], rows)


def _balance(queries: Balances) -> str:
    return f"{_spread(Spread.of(queries['entropy']), 2)} ({queries['least'].min()} to {queries['most'].max()})"


def _tested(tests: Sequence[Difference | None]) -> list[str]:
    """Cells of one column; a difference that stands after Holm's correction is in bold."""
    ps = [test.p for test in tests if test is not None and test.p is not None]
    adjusted = iter(statistics.holm(ps))
    return [_difference(test, None if test is None or test.p is None else next(adjusted)) for test in tests]


def _difference(test: Difference | None, p: float | None) -> str:
    if test is None:
        return NONE
    text = _signed(test.spread)
    if p is None:
        return f"{text} ({test.spread.n})"
    text = f"**{text}**" if p < LEVEL else text
    return f"{text}, {'p < 0.001' if p < 0.001 else f'p = {p:.3f}'} ({test.spread.n})"


def _interval(test: Difference) -> tuple[str, str]:
    between = NONE if test.low is None or test.high is None else f"{_points(test.low)} to {_points(test.high)}"
    return f"{_signed(test.spread)} ({test.spread.n})", between


def _value(by_seed: pd.Series) -> str:
    if by_seed.empty:
        return NONE
    spread = Spread.of(100 * by_seed)
    return f"{_spread(spread, 1)} ({spread.n})"


def _spread(spread: Spread, digits: int) -> str:
    mean = f"{spread.mean:,.{digits}f}"
    return mean if spread.sd is None else f"{mean} ± {spread.sd:,.{digits}f}"


def _signed(spread: Spread) -> str:
    return _points(spread.mean) + (NONE if spread.sd is None else f" ± {100 * spread.sd:.1f}")


def _points(value: float) -> str:
    """Signed, in points; zero is not negative."""
    return f"{round(100 * value, 1) + 0.0:+.1f}"


def _reached(labels: float, budgets: Sequence[int]) -> str:
    """Labels to a value; it may have been reached before the first of ``budgets``, and not within the last."""
    if math.isinf(labels):
        return f"> {_count(budgets[-1])}"
    return f"{'≤ ' * (labels == budgets[0])}{_count(labels)}"


def _count(labels: float) -> str:
    return f"{labels:,.0f}"


def _won(found: statistics.Wins) -> str:
    return f"{found.won}/{found.tested}" if found.tested else NONE
