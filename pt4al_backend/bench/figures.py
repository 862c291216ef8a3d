"""The figures of a report: PNG for the eye, SVG for print, the same bytes from the same numbers.

Colours are those of Okabe and Ito (2008), which colour-blind people can tell apart, without the yellow, which is hard to see on
white. Arms differ in marker and line as well, parts in hatching, so that they differ without colour.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.bench import statistics
from pt4al_backend.bench.costs import Costs
from pt4al_backend.bench.numbers.table import number
from pt4al_backend.bench.statistics import Curves, Seeds, Spread
from pt4al_backend.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLACK = "#000000"
BASELINE_STYLE: Any = {"color": BLACK, "linestyle": "-", "marker": "o", "linewidth": 2.0}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINES = ((5, 1), (1, 1), (5, 1, 1, 1), (3, 1, 1, 1, 1, 1), (9, 2))
MARKERS = "sD^v<>pPX*hd8H"
#: Marker, area and colour of sets of points that lie side by side: areas that look alike.
SETS = (("o", 16, COLOURS[0]), ("^", 18, COLOURS[1]), ("s", 13, COLOURS[2]))
HATCHES = ("", "////", "....", "xxxx", "++")

#: The most arms that share one plot; more are drawn in a panel each.
TOGETHER = 6
COLUMNS = 4

#: Standard deviations of fewer seeds say little: their curves are drawn instead.
BAND_FROM = 3

STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.markersize": 4,
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "text.parse_math": False,  # names of arms are no formulas
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "pt4al",
}


def drawable() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def require() -> None:
    """Raises ConfigError if matplotlib is not installed."""
    if not drawable():
        remedy = "Install it with pip install 'pt4al-backend[bench]', or leave the figures out with --no-figures."
        raise ConfigError("The figures need matplotlib, which is not installed.", remedy)


def write(folder: Path, name: str, figure: "Figure") -> None:
    """Writes ``name.png`` and ``name.svg``, without the date."""
    with _style():
        figure.savefig(folder / f"{name}.png", dpi=200, bbox_inches="tight", metadata={"Software": None})
        figure.savefig(folder / f"{name}.svg", bbox_inches="tight", metadata={"Date": None})


def curves(arms: Curves, baseline: str, what: str, *, zero: bool = False, scale: float = 100) -> "Figure":
    """``what`` over the labels: the mean over the seeds in a band of ± 1 sd, or the seeds as thin lines if they are few.

    At a single number of labels there is no curve, and each arm has a row. Values are drawn ``scale`` times as large.
    ``zero`` draws a line there, which the baseline would be.
    """
    names = statistics.arms(arms)
    others = [arm for arm in names if arm != baseline]
    styles = {baseline: BASELINE_STYLE, **{arm: _line_style(index) for index, arm in enumerate(others)}}
    drawn = _rows if len(statistics.budgets(arms)) == 1 else _together if len(names) <= TOGETHER else _panels
    with _style():
        return drawn(arms, baseline, styles, what, zero, scale)


def wins(arms: Curves) -> "Figure":
    """How often the arm of a row beats that of a column: the darker, the more often."""
    found, names = statistics.wins(arms), statistics.arms(arms)
    share = np.array([[found[one, other].share if one != other else np.nan for other in names] for one in names])
    with _style():
        figure, axes = _axes(0.5 * len(names), 0.5 * len(names))
        axes.grid(visible=False)
        axes.set_aspect("equal")
        edges = np.arange(len(names) + 1) - 0.5
        axes.pcolormesh(
            edges, edges, np.ma.masked_invalid(share), cmap="Greys", vmin=0, vmax=1.25, edgecolors="#bbbbbb", linewidth=0.6
        )
        axes.invert_yaxis()
        for row, one in enumerate(names):
            for column, other in enumerate(names):
                text = f"{found[one, other].won}/{found[one, other].tested}" if np.isfinite(share[row, column]) else "–"
                ink = "white" if share[row, column] > 0.6 else "black"
                axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=8)
        axes.set_xticks(range(len(names)), names, rotation=45, ha="left", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("the row beats the column: label counts, of those tested")
        return figure


def seconds(costs: Costs, rounds: int) -> "Figure":
    """Mean seconds of whole runs, stacked by part."""
    mean = costs.groupby(level="arm", sort=False).mean()
    names = list(mean.index)
    unit, by = _unit(float(mean.sum(axis="columns").max()))
    with _style():
        (figure, axes), before = _axes(4.0, 0.32 * len(names)), np.zeros(len(names))
        for index, part in enumerate(mean):
            look: Any = {
                "color": COLOURS[-1 - index % len(COLOURS)],
                "hatch": HATCHES[index % len(HATCHES)],
                "edgecolor": "black",
            }
            axes.barh(names, mean[part].to_numpy() / by, left=before / by, label=part, height=0.7, linewidth=0.6, **look)
            before = before + mean[part].to_numpy()
        for row, total in enumerate(before / by):
            axes.annotate(number(total), (total, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"{unit} of a run of {rounds} round{'s' * (rounds != 1)}, mean over the seeds")
        axes.legend(loc="center left", bbox_to_anchor=(1.06, 0.5))
        return figure


def ranks(panels: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> "Figure":
    """A scatter plot for each title: two named series of ranks in 0..1, the first along x."""
    columns = min(len(panels), COLUMNS)
    rows = -(-len(panels) // columns)
    with _style():
        figure = _figure((0.4 + 2.6 * columns, 0.4 + 2.7 * rows))
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten().tolist()
        for axes, (title, series) in zip(grid, panels.items(), strict=False):
            axes.scatter(*series.values(), s=7, color=COLOURS[0], alpha=0.3, linewidths=0)
            axes.set(aspect="equal", xlim=(0, 1), ylim=(0, 1))
            for ticks in (axes.set_xticks, axes.set_yticks):
                ticks((0, 0.5, 1), ("0", "0.5", "1"))
            axes.set_title(title, fontsize=9)
        for axes in grid[len(panels) - columns : len(panels)]:
            axes.tick_params(labelbottom=True)
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        across, up = (f"rank of the {name}" for name in next(iter(panels.values())))
        figure.supxlabel(across, fontsize=9)
        figure.supylabel(up, fontsize=9)
        return figure


def embedding(points: NDArray[np.floating], panels: Mapping[str, Mapping[str, NDArray[np.int64]]]) -> "Figure":
    """Points [n, 2] in grey in every panel, and on them up to three named sets of them: circles, triangles, squares."""
    columns = 2 if len(panels) in (2, 4) else min(len(panels), COLUMNS)
    rows = -(-len(panels) // columns)
    with _style():
        figure = _figure((3.4 * columns, 0.4 + 3.5 * rows))
        for axes, (title, sets) in zip(figure.subplots(rows, columns, squeeze=False).flat, panels.items(), strict=True):
            axes.grid(visible=False)
            axes.scatter(*points.T, s=4, color="#d5d5d5", linewidths=0, rasterized=True)
            for (name, members), (marker, area, colour) in zip(sets.items(), SETS, strict=False):
                look: Any = {"s": area, "marker": marker, "color": colour, "edgecolors": "white", "linewidths": 0.4}
                axes.scatter(*points[members].T, label=name, **look)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(visible=True, color="#cccccc")
            axes.set_title(title, fontsize=9)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, markerscale=1.5)
        return figure


def _unit(longest: float) -> tuple[str, float]:
    """What to show seconds in."""
    return next(
        (unit, by) for unit, by in (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0)) if longest >= 2 * by or by == 1
    )


def _rows(arms: Curves, baseline: str, _: Mapping[str, Any], what: str, zero: bool, scale: float) -> "Figure":
    """A row for each arm: its seeds, their mean ± 1 sd, and the baseline's mean through all rows."""
    (labels,) = statistics.budgets(arms)
    names = statistics.arms(arms)
    figure, axes = _axes(4.2, 0.24 * len(names))
    for row, arm in enumerate(names):
        values = scale * statistics.at(statistics.of(arms, arm), labels).to_numpy()
        spread, colour = Spread.of(values), BLACK if arm == baseline else COLOURS[0]
        axes.plot(values, [row] * len(values), "o", color=colour, alpha=0.35, markersize=3, markeredgewidth=0)
        axes.errorbar(spread.mean, row, xerr=spread.sd, color=colour, marker="|", markersize=10, markeredgewidth=2, linewidth=1.2)
        if arm == baseline or (zero and not row):
            axes.axvline(0 if zero else spread.mean, color=BLACK, linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"{what}, {labels:,} labels")
    return figure


def _together(arms: Curves, _: str, styles: Mapping[str, Any], what: str, zero: bool, scale: float) -> "Figure":
    figure = _figure((6.0, 3.8))
    axes = figure.subplots()
    for arm in statistics.arms(arms):
        _draw(axes, statistics.of(arms, arm), styles[arm], scale, label=arm)
    _finish(axes, arms, zero)
    axes.set_xlabel("labels")
    axes.set_ylabel(what)
    figure.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=4)
    return figure


def _panels(arms: Curves, baseline: str, styles: Mapping[str, Any], what: str, zero: bool, scale: float) -> "Figure":
    """A panel for each arm, with the baseline in all."""
    shown = [arm for arm in statistics.arms(arms) if arm != baseline]
    base = statistics.of(arms, baseline)
    rows = -(-len(shown) // COLUMNS)
    figure = _figure((9.0, 0.4 + 2.1 * rows))
    grid = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False).flatten().tolist()
    for axes, arm in zip(grid, shown, strict=False):
        if not base.empty:
            _draw(axes, base, {**styles[baseline], "linewidth": 1.0, "marker": ""}, scale, label=baseline)
        _draw(axes, statistics.of(arms, arm), {**styles[arm], "linewidth": 1.2, "markersize": 3}, scale)
        _finish(axes, arms, zero)
        axes.set_title(arm, fontsize=9)
    for axes in grid[len(shown) - COLUMNS : len(shown)]:
        axes.tick_params(labelbottom=True)  # the lowest of their columns, also above an empty place
    for axes in grid[len(shown) :]:
        axes.set_visible(False)
    figure.supxlabel("labels", fontsize=9)
    figure.supylabel(what, fontsize=9)
    if not base.empty:
        figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper right")
    return figure


def _draw(axes: "Axes", seeds: Seeds, style: Mapping[str, Any], scale: float, label: str | None = None) -> None:
    labels = statistics.budgets(seeds)
    mean = scale * seeds[labels].mean().to_numpy()
    axes.plot(labels, mean, label=label, **style)
    if len(seeds) >= BAND_FROM:
        sd = scale * seeds[labels].std().fillna(0.0).to_numpy()
        axes.fill_between(labels, mean - sd, mean + sd, color=style["color"], alpha=0.15, linewidth=0)
    elif len(seeds) > 1:
        for _, curve in seeds.iterrows():
            one = scale * curve.dropna()
            axes.plot(one.index, one, color=style["color"], linewidth=0.6, alpha=0.6)


def _finish(axes: "Axes", arms: Curves, zero: bool) -> None:
    if zero:
        axes.axhline(0, color=BLACK, linewidth=1.2)
    budgets = statistics.budgets(arms)
    if len(budgets) <= 5:
        axes.set_xticks(budgets)
    axes.xaxis.set_major_formatter(lambda labels, _: f"{labels:,.0f}")


def _line_style(index: int) -> dict[str, Any]:
    look = {"color": COLOURS[index % len(COLOURS)], "linestyle": (0, LINES[index % len(LINES)])}
    return {**look, "marker": MARKERS[index % len(MARKERS)], "linewidth": 1.5}


def _figure(size: tuple[float, float]) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def _axes(width: float, height: float) -> tuple["Figure", "Axes"]:
    """A figure of axes of this size in inches, however long the names beside them are: ``write`` cuts it around both."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    return figure, figure.add_axes((0, 0, 1, 1))


def _style() -> AbstractContextManager[None]:
    from matplotlib import rc_context

    return rc_context(STYLE)
