"""What the commands print: the table of projects, progress, findings."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from pt4al_backend.phases import PHASES, Phase
from pt4al_backend.progress import Progress, Report

if TYPE_CHECKING:
    from pt4al_backend.measures import Control
    from pt4al_backend.ops.doctor.finding import Finding
    from pt4al_backend.server.status import ProjectStatus

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

WATCH_SECONDS = 1.0
COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def warn(text: str) -> None:
    """Prints a line to standard error that stands out."""
    err.print(Text(text, "yellow"), soft_wrap=True)


def fail(text: str) -> None:
    """Prints why the command ends."""
    err.print(Text(f"Error: {text}", "red"), soft_wrap=True)


def overview(projects: "list[ProjectStatus]") -> Group:
    """Where every project stands: a line each, and below them what stands in the way."""
    if not projects:
        return Group("No project has connected yet. Connect one in Label Studio, Settings > Model.")
    table = Table("Project", "Phase", "Progress", "Time left", "Round", "Labels in", "missing", "On control picks")
    lines = []
    for each in projects:
        table.add_row(
            Text(f"{each.id} {each.title}"),
            Text(PHASES.get(each.phase, each.phase)),
            _progress(each.progress),
            "" if each.eta_seconds is None else duration(each.eta_seconds),
            f"{each.round}",
            f"{each.labels_in}",
            f"{each.labels_missing}",
            _measured(each.control),
        )
        lines += [Text(f"Project {each.id}: {sentence}", "yellow") for sentence in each.notices.values()]
        if each.error:
            lines.append(Text(f"Project {each.id}: {each.error.message} {each.error.remedy}".strip(), "red"))
    return Group(table, *lines)


def watch(read: "Callable[[], list[ProjectStatus]]") -> None:
    """Shows the overview of what ``read`` gives, again every `WATCH_SECONDS`, until Ctrl-C."""
    try:
        with Live(overview(read()), console=out, auto_refresh=False) as live:
            while True:
                live.update(overview(read()), refresh=True)
                time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        return


def line_of(finding: "Finding") -> Text:
    """One finding of the doctor, with what to change."""
    line = Text.assemble((f"{finding.level.upper():<5}", COLOURS[finding.level]), f"{finding.topic}: {finding.text}")
    if finding.remedy:
        line.append(f" → {finding.remedy}", "bold")
    return line


@contextmanager
def progress_bars() -> Iterator[Report]:
    """Gives a function that shows progress, each phase on a line of its own."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[detail]}"))
    with Bars(*columns, console=err) as shown:
        bars: dict[Phase, TaskID] = {}

        def report(progress: Progress) -> None:
            if progress.note:
                shown.console.print(Text(progress.note, "yellow"))
            if progress.share is None:
                return
            if progress.phase not in bars:
                bars[progress.phase] = shown.add_task(PHASES[progress.phase], total=1, detail="")
            left = "" if progress.eta is None else f", {duration(progress.eta)} left"
            shown.update(bars[progress.phase], completed=progress.share, detail=_progress(progress) + left)

        yield report


def duration(seconds: float) -> str:
    """m:ss, or h:mm:ss."""
    text = str(timedelta(seconds=round(seconds)))
    return text.removeprefix("0:").removeprefix("0") if seconds < 3600 else text


def _progress(progress: Progress) -> str:
    parts = []
    if progress.epochs > 1:
        parts.append(f"epoch {progress.epoch} of {progress.epochs}")
    if progress.total:
        parts.append(f"{progress.done:,} of {progress.total:,}")
    return ", ".join(parts)


def _measured(control: "Control") -> str:
    if control.value is None or control.low is None or control.high is None:
        return ""
    return f"{control.metric} {control.value:.1%} ({control.low:.1%} to {control.high:.1%}, {control.total} picks)"
