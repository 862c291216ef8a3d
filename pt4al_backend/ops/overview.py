"""What ``pt4al status`` prints: where every project stands, and of one alone its learning curve and its annotators as well."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from pt4al_backend.analysis.advice import Verdict
from pt4al_backend.measures import Control
from pt4al_backend.ops.terminal import done_of, duration, out, printable
from pt4al_backend.phases import PHASES
from pt4al_backend.server.panels.overview import Labelling, Overview
from pt4al_backend.server.status import ProjectStatus

WATCH_SECONDS = 1.0
BAR = 32  # characters of the whole range of a measure: the table fits into a terminal of 80
CURVE_SHOWN = 12  # rounds, the last ones
COLOURS = {Verdict.GO_ON: "green", Verdict.LITTLE_LEFT: "cyan", Verdict.TOO_FEW_PICKS: "yellow"}

#: A project as it stands.
Shown = tuple[ProjectStatus, Overview]


def overview(projects: Sequence[Shown]) -> Group:
    """Where every project stands: a row each, and below them what stands in the way, and whether it is worth going on."""
    if not projects:
        return Group("No project has connected yet. Connect one in Label Studio, Settings > Model.")
    table = Table(Column("Project", overflow="fold"), "Phase", "Round", "Labels", "Control picks", show_lines=True)
    below: list[RenderableType] = []
    for status, found in projects:
        table.add_row(
            Text(printable(f"{status.id} {status.title}")),
            Text("\n".join(_phase(status))),
            f"{status.round}",
            f"{status.labels_in} in\n{status.labels_missing} missing\n{found.labelling.today} today",
            "\n".join(_measured(status.control, is_full=status.served.kind == "full")),
        )
        below += _below(status, found)
    return Group(table, *below, *(_alone(projects[0][1]) if len(projects) == 1 else ()))


def watch(read: Callable[[], Sequence[Shown]]) -> None:
    """Shows the overview of what ``read`` gives, again every `WATCH_SECONDS`, until Ctrl-C."""
    try:
        with Live(overview(read()), console=out, auto_refresh=False) as live:
            while True:
                live.update(overview(read()), refresh=True)
                time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        return


def _below(status: ProjectStatus, found: Overview) -> Iterator[Text]:
    for sentence in status.notices.values():
        yield Text(printable(f"Project {status.id}: {sentence}"), "yellow")
    if status.error:
        yield Text(printable(f"Project {status.id}: {status.error.message} {status.error.remedy}".strip()), "red")
    if estimated := status.pool_estimate:
        shown = f"{estimated.value:.1%} ({estimated.low:.1%} to {estimated.high:.1%})"
        yield Text(f"Project {status.id}: {found.metric} {shown}, pool estimate. {estimated.sentence}")
    if found.curve:
        price = f" {found.price.sentence}" if found.price else ""
        yield Text(f"Project {status.id}: {found.advice.sentence}{price}", COLOURS.get(found.advice.verdict, ""))


def _alone(found: Overview) -> Iterator[Table]:
    if found.curve:
        yield _curve(found)
    if found.labelling.annotators:
        yield _annotators(found.labelling)


def _curve(found: Overview) -> Table:
    """The last rounds, each with a bar from the lower to the upper end of its interval."""
    table = Table("Round", "Labels", "Control picks", found.metric, f"0 %{'100 %':>{BAR - 3}}", title="Learning curve")
    for point in found.curve[-CURVE_SHOWN:]:
        low, at, high = (round(share * (BAR - 1)) for share in (point.low, point.value, point.high))
        bar = "".join("●" if k == at else "─" if low <= k <= high else " " for k in range(BAR))
        table.add_row(f"{point.round}", f"{point.labels:,}", f"{point.picks:,}", f"{point.value:.1%}", bar)
    return table


def _annotators(labelling: Labelling) -> Table:
    since = datetime.fromtimestamp(labelling.today_since, UTC).astimezone()
    table = Table("Annotator", f"since {since:%H:%M}", "per hour", "in all", "skipped", title="Labels")
    for each in labelling.annotators:
        who = "unknown" if each.annotator is None else f"user {each.annotator}"
        pace = "" if each.per_hour is None else f"{each.per_hour:.0f}"
        table.add_row(who, f"{each.today:,}", pace, f"{each.labels:,}", f"{each.skips:,}")
    return table


def _phase(status: ProjectStatus) -> Iterator[str]:
    """A line each: few columns leave words whole in a terminal of 80 characters."""
    yield PHASES.get(status.phase, status.phase)
    if done := done_of(status.progress):
        yield done
    if status.eta_seconds is not None:
        yield f"{duration(status.eta_seconds)} left"


def _measured(control: Control, *, is_full: bool) -> Iterator[str]:
    if control.value is None or control.low is None or control.high is None:
        return
    yield f"{control.metric} {control.value:.1%}"
    yield f"({control.low:.1%} to {control.high:.1%})"
    yield f"{control.total} {'pick' if control.total == 1 else 'picks'}{', encoder trained too' if is_full else ''}"
