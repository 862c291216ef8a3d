"""What the demo shows: lines that stay, with the time, and below them where the backend and the annotators stand."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pt4al_backend.ops.terminal import duration
from pt4al_backend.phases import PHASES
from pt4al_backend.server.status import ProjectStatus

BAR = 22


class Screen:
    """Lines that stay, and a part that changes as long as `live` is open; without a terminal there are only the lines."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._start = time.monotonic()
        self._live: Live | None = None
        self._rounds = 0
        self._rows: dict[str, RenderableType] = {}

    @property
    def elapsed(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._start

    @contextmanager
    def live(self, rounds: int) -> Iterator[None]:
        """Shows the changing part; ``rounds`` is how many there will be."""
        self._rounds = rounds
        with Live(console=self.console, transient=True, refresh_per_second=8) as self._live:
            yield
        self._live = None

    def say(self, text: str | Text) -> None:
        """Prints a line that stays."""
        line = Text.assemble((f"{duration(self.elapsed)}  ", "dim"), text)
        self.console.print(line, soft_wrap=not self.console.is_terminal)  # a log keeps its lines

    def work(self, what: str, done: float = 0, total: float = 0, eta: float | None = None, detail: str = "") -> None:
        """Shows what is being done, how far, and how long it still takes (seconds)."""
        parts = [detail] if detail else []
        if eta is not None:
            parts.append(f"{duration(eta)} left")
        self._show("work", what, done, total, ", ".join(parts))

    def backend(self, status: ProjectStatus) -> None:
        """Shows where the backend stands, as /api/projects/{id} shows it."""
        phase, progress = status.phase, status.progress
        detail = f"{progress.done:,} of {progress.total:,}" if progress.total else ""
        if progress.epochs > 1:
            detail = f"epoch {progress.epoch} of {progress.epochs}"
        share = progress.share
        self.work(PHASES.get(phase, phase), share or 0, 0 if share is None else 1, status.eta_seconds, detail)
        if 0 < status.round <= self._rounds:
            wanted = status.labels_in + status.labels_missing
            labels = f"{status.labels_in} of {wanted} labels"
            self._show("round", f"Round {status.round} of {self._rounds}", status.labels_in, wanted, labels)

    def annotator(self, text: str) -> None:
        """Shows what an annotator did last."""
        self._rows["annotator"] = Text(text, "dim")
        self._update()

    def clear(self) -> None:
        """Empties the changing part."""
        self._rows.clear()
        self._update()

    def _show(self, row: str, what: str, done: float, total: float, detail: str) -> None:
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=29)
        grid.add_column(width=BAR)
        grid.add_column()
        bar: RenderableType = ProgressBar(total, done, width=BAR) if total else Spinner("dots")
        grid.add_row(Text(what), bar, Text(detail, "cyan"))
        self._rows[row] = grid
        self._update()

    def _update(self) -> None:
        if self._live is not None:
            self._live.update(Group(*self._rows.values()))
