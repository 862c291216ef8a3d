"""The report of a benchmark, ``report/report.md``: tables, figures, and what made them. The same records give the same bytes.

``experiment.json`` in the folder of the runs may hold ``title`` and ``command``, the command line that made them.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pt4al_backend.aliases import Json
from pt4al_backend.bench import figures, statistics, tables
from pt4al_backend.bench.records import Record
from pt4al_backend.bench.results import Results
from pt4al_backend.config import ProjectSettings
from pt4al_backend.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXPERIMENT = "experiment.json"
FOLDER = "report"


VALUES = "{metric} in %: mean ± sd over the seeds (number of seeds), by labels."
BALANCED = "The mean over the classes of the test of the share of their images that is right, in %: mean ± sd over the seeds."
NOTES = "What runs did not do as their settings say, with how many rounds of how many seeds it concerns."
ABSENT = "No arm is named {baseline!r}, so nothing is compared; --baseline names another."
DIFFERENCES = (
    "Points over {baseline}, paired by seed: mean ± sd of the differences, p of the two-sided paired t test (number of pairs). "
    "p is corrected by Holm's rule for the arms compared at a label count, not for the label counts; bold: p < 0.05."
)
AREA = (
    "Mean value from {first:,} to {last:,} labels, {count} label counts that all arms share, in %: the area under the curve "
    "(trapezoids) by its range. The difference to {baseline}, in points, is paired by seed; its interval of 95 % is that of t, "
    "not corrected for the number of arms."
)
SAVED = (
    "Labels at which the mean curve, linear between its points, first reaches what {baseline} has at its last, of the seeds that "
    "both finished (their number). The interval begins and ends where the upper and the lower end of the difference's 95 % "
    "interval, paired by seed, first reach zero (Fieller 1954); it is not corrected for the number of arms."
)
WINS = (
    "Label counts at which the arm of the row is above that of the column by a two-sided paired t test at 5 %, uncorrected, "
    "of those tested (two common seeds or more, and differences that are not all equal). Last row: how often the arm was "
    "beaten on average; less is better."
)
SECONDS = (
    "Mean over the seeds. The ranking is counted once for a run, if its strategy or initial weights use it; the last column is "
    "the whole run's seconds by those of the baseline's."
)
BALANCE = (
    "Entropy of the classes in the query of each round by the most there is, 1 if they are as many: mean ± sd over the seeds, "
    "and the smallest and the largest count of a class in any seed. The whole pool has {pool:.2f}."
)


@dataclass(frozen=True)
class Section:
    """A table under its heading, with what to know of it, and a figure of some name."""

    heading: str
    note: str
    table: str = ""
    name: str = ""
    draw: Callable[[], "Figure"] | None = None

    def markdown(self, *, drawn: bool) -> str:
        """Of the report; with ``drawn`` the figure is embedded."""
        image = (
            f"![{self.heading}]({self.name}.png)\n\nFor print: [{self.name}.svg]({self.name}.svg)" if drawn and self.draw else ""
        )
        return "\n\n".join(filter(None, (f"## {self.heading}", self.note, self.table, image)))


def write(results: Results, parts: Sequence[Section], *, draw: bool) -> Path:
    """Writes the report with these sections, with their figures if wanted, and returns its path.

    Raises:
        ConfigError: ``experiment.json`` cannot be read, or figures are wanted without matplotlib.
    """
    described = experiment(results.folder)
    command = fenced(described["command"]) if "command" in described else ""
    head = (f"# {described.get('title', 'Benchmark')}", command, skipped(results.folder, results.found.corrupt), _made(results))
    return document(results.folder, "report", head, parts, draw=draw)


def document(to: Path, name: str, head: Iterable[str], parts: Sequence[Section], *, draw: bool) -> Path:
    """Writes a document of these sections below an output folder, with their figures if wanted, and returns its path.

    Raises:
        ConfigError: figures are wanted without matplotlib.
    """
    if draw:
        figures.require()
    folder = to / FOLDER
    folder.mkdir(exist_ok=True)
    for section in parts if draw else ():
        if section.draw:
            figures.write(folder, section.name, section.draw())
    path = folder / f"{name}.md"
    path.write_text("\n\n".join(filter(None, (*head, *(each.markdown(drawn=draw) for each in parts)))) + "\n")
    return path


def fenced(command: str) -> str:
    """A command line as Markdown."""
    return f"```sh\n{command}\n```"


def skipped(folder: Path, corrupt: Mapping[Path, int]) -> str:
    """How many corrupt lines of which files below a folder were left out; empty if there are none."""
    where = ", ".join(f"{path.relative_to(folder)} ({count})" for path, count in corrupt.items())
    return f"Corrupt lines, left out: {sum(corrupt.values())}, in {where}." if corrupt else ""


def sections(results: Results) -> Iterator[Section]:
    """Those that the records allow."""
    curves, baseline = results.curves, results.baseline
    if not curves.empty:
        metric = _all(record.metric for record in results.records)
        draw = partial(figures.curves, curves, baseline, f"{metric} in %")
        yield Section("Values", VALUES.format(metric=metric), tables.values(curves), "values", draw)
    if notes := tables.notes(results.found.arms):
        yield Section("Deviations", NOTES, notes)
    arms = statistics.arms(curves)
    if baseline not in arms:
        yield Section("Differences", ABSENT.format(baseline=baseline))
    elif len(arms) > 1:
        yield from _comparisons(curves, baseline)
    balanced = results.balanced
    if not balanced.empty:
        draw = partial(figures.curves, balanced, baseline, "balanced accuracy in %")
        yield Section("Balanced accuracy", BALANCED, tables.values(balanced), "balanced", draw)
        if baseline in statistics.arms(balanced) and len(over := statistics.shared(balanced)) > 1:
            note = AREA.format(first=over[0], last=over[-1], count=len(over), baseline=baseline)
            yield Section("Area under the curve of balanced accuracy", note, tables.areas(balanced, baseline))
            yield Section("Labels saved by balanced accuracy", SAVED.format(baseline=baseline), tables.saved(balanced, baseline))
    if any(won.tested for won in statistics.wins(curves).values()):
        yield Section("Wins", WINS, tables.wins(curves), "wins", partial(figures.wins, curves))
    rounds, seconds = results.seconds
    if not seconds.empty:
        yield Section(
            "Seconds", SECONDS, tables.seconds(seconds, rounds, baseline), "seconds", partial(figures.seconds, seconds, rounds)
        )
    if not results.balances.empty:
        draw = partial(figures.curves, results.entropies, baseline, "entropy of the query's classes", scale=1)
        yield Section(
            "Balance of the queries", BALANCE.format(pool=results.pool), tables.balance(results.balances), "balance", draw
        )


def _comparisons(curves: statistics.Curves, baseline: str) -> Iterator[Section]:
    draw = partial(figures.curves, statistics.above(curves, baseline), "", f"points over {baseline}", zero=True)
    yield Section("Differences", DIFFERENCES.format(baseline=baseline), tables.differences(curves, baseline), "differences", draw)
    if len(over := statistics.shared(curves)) > 1:
        note = AREA.format(first=over[0], last=over[-1], count=len(over), baseline=baseline)
        yield Section("Area under the curve", note, tables.areas(curves, baseline))
    if not statistics.complete(statistics.of(curves, baseline)).empty:
        yield Section("Labels saved", SAVED.format(baseline=baseline), tables.saved(curves, baseline))


def _made(results: Results) -> str:
    """What the numbers come from: test images, machine, versions, and the settings of the arms."""
    records, arms = results.records, results.found.arms
    settings = {arm: _own(rounds[0]) for arm, rounds in arms.items()}
    first = next(iter(settings.values()))
    common = {key: each for key, each in first.items() if all(own.get(key, ...) == each for own in settings.values())}
    rows = [
        [arm, _all(record.seed for record in rounds), f"{max(r.round for r in rounds)}", f"`{_json(settings[arm], common)}`"]
        for arm, rounds in arms.items()
    ]
    machines = _all(on(each.device, each.machine) for each in records)
    made = (
        f"Test images: {_all(each.total for each in records)}. Trained on {machines}, "
        f"with pt4al-backend {_all(each.version for each in records)} and torch {_all(each.torch for each in records)}. "
        f"Settings of all arms, beside the defaults: `{_json(common, {})}`."
    )
    return f"{made}\n\n{tables.table(['arm', 'seeds', 'rounds', 'settings of its own'], rows, left=4)}"


def on(device: str, machine: str) -> str:
    """What something was trained on, by name if it has one."""
    return f"{device} ({machine})" if machine else device


def _own(record: Record) -> Json:
    return {**beside_defaults(record.settings), **record.arm}


def beside_defaults(settings: Json) -> Json:
    """The settings that differ from the defaults of this version, without the seed."""
    defaults = {name: field.default for name, field in ProjectSettings.model_fields.items()}
    return {key: value for key, value in settings.items() if key != "seed" and value != defaults.get(key, ...)}


def _all(values: Iterable[Any]) -> str:
    return ", ".join(map(str, sorted(set(values))))


def _json(settings: Json, without: Json) -> str:
    return json.dumps({key: value for key, value in settings.items() if key not in without})


def experiment(folder: Path) -> Json:
    """What ``experiment.json`` of a folder of runs says; nothing if there is none.

    Raises:
        ConfigError: it is damaged.
    """
    path = folder / EXPERIMENT
    try:
        stored = json.loads(path.read_text()) if path.exists() else {}
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON ({error}).", "Correct it or delete it.") from error
    if not isinstance(stored, dict):
        raise ConfigError(f"{path} is not a JSON object.", "Correct it or delete it.")
    return stored
