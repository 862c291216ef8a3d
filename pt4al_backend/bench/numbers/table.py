"""The table that a benchmark prints: value, bound and ratio, under the machine and the command that made it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Line:
    """One row: a measured value, and the bound that it should hold.

    ``bound`` is the most that ``value`` may be, or the least if ``at_least``; None: reported without a bound.
    """

    what: str
    value: float
    unit: str
    bound: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Value by bound."""
        return None if self.bound is None else self.value / self.bound

    @property
    def holds(self) -> bool:
        """Whether the bound is held; a row without one holds."""
        if self.bound is None:
            return True
        return self.value >= self.bound if self.at_least else self.value <= self.bound


@dataclass(frozen=True)
class Times:
    """How long requests took, in seconds; percentiles are times of a request (nearest rank), not between two."""

    count: int
    p50: float
    p99: float
    longest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Times":
        """Sums up one series, which holds at least one."""
        p50, p99, longest = np.quantile(np.asarray(seconds), [0.5, 0.99, 1.0], method="inverted_cdf").tolist()
        return cls(len(seconds), p50, p99, longest)


def number(value: float) -> str:
    """Three significant digits, thousands grouped, no exponent: 0.0123, 4.57, 1,230."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.{max(2 - math.floor(math.log10(abs(rounded))), 0)}f}"


def markdown(lines: Sequence[Line]) -> str:
    """The rows as a Markdown table; a bound that is missed is in bold."""
    rows = ["| what | value | bound | value / bound | |", "| --- | ---: | ---: | ---: | --- |"]
    for line in lines:
        bound, ratio = "", ""
        if line.bound is not None and line.ratio is not None:
            bound = f"{'≥' if line.at_least else '≤'} {number(line.bound)} {line.unit}".strip()
            ratio = number(line.ratio) if line.holds else f"**{number(line.ratio)}, missed**"
        cells = (line.what, f"{number(line.value)} {line.unit}".strip(), bound, ratio, line.note)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"
