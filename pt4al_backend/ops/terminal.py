"""What the commands print: lines, progress, findings."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

from pt4al_backend.phases import PHASES, Phase
from pt4al_backend.progress import Progress, Report

if TYPE_CHECKING:
    from pt4al_backend.ops.doctor.finding import Finding

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def printable(text: str) -> str:
    """Text in which the name of a file or object cannot command the terminal: its control characters are spelt out."""
    return "".join(each if each.isprintable() or each == "\n" else each.encode("unicode_escape").decode() for each in text)


def warn(text: str) -> None:
    """Prints a line to standard error that stands out."""
    err.print(Text(printable(text), "yellow"), soft_wrap=True)


def fail(text: str) -> None:
    """Prints why the command ends."""
    err.print(Text(printable(f"Error: {text}"), "red"), soft_wrap=True)


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
                shown.console.print(Text(printable(progress.note), "yellow"))
            if progress.share is None:
                return
            if progress.phase not in bars:
                bars[progress.phase] = shown.add_task(PHASES[progress.phase], total=1, detail="")
            left = "" if progress.eta is None else f", {duration(progress.eta)} left"
            shown.update(bars[progress.phase], completed=progress.share, detail=done_of(progress) + left)

        yield report


def duration(seconds: float) -> str:
    """m:ss, or h:mm:ss."""
    text = str(timedelta(seconds=round(seconds)))
    return text.removeprefix("0:").removeprefix("0") if seconds < 3600 else text


def done_of(progress: Progress) -> str:
    """How far a phase is, in words; empty if that is unknown."""
    parts = []
    if progress.epochs > 1:
        parts.append(f"epoch {progress.epoch} of {progress.epochs}")
    if progress.total:
        parts.append(f"{progress.done:,} of {progress.total:,}")
    return ", ".join(parts)


def examples(*lines: str) -> str:
    """The end of a command's help: command lines in backticks, each with what it does."""
    return "\n".join(["Examples:", "", *(f"* {line}" for line in lines)])
