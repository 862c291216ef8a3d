"""How far a phase is: the one event of a job's child process, of the engine, and of the commands."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from pt4al_backend.phases import Phase


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` images in epoch ``epoch`` (from 1) of ``epochs``; 0 where a phase has no such thing.

    ``note`` is a sentence for the user, or empty; ``eta`` is the number of seconds until the phase is done, None if unknown.
    """

    phase: Phase = Phase.CONNECTED
    epoch: int = 0
    epochs: int = 0
    done: int = 0
    total: int = 0
    note: Annotated[str, Field(exclude=True)] = ""  # shown as a notice, which may hide parts of it
    eta: float | None = None

    @property
    def share(self) -> float | None:
        """The share of the phase that is done, 0..1; None if that is unknown."""
        if self.total <= 0:
            return None
        share = self.done / self.total
        if self.epochs > 0:
            share = (self.epoch - 1 + share) / self.epochs
        return min(max(share, 0.0), 1.0)


class TimeLeft:
    """Estimates when a phase is done by what was done of it since it was first seen: it may have been resumed in its middle."""

    def __init__(self) -> None:
        self._phase: Phase | None = None
        self._started = 0.0
        self._first = 0.0

    def __call__(self, progress: Progress) -> float | None:
        """Seconds until the phase of ``progress`` is done, None if that is not known yet."""
        now, share = time.monotonic(), progress.share or 0.0
        if progress.phase != self._phase:
            self._phase, self._started, self._first = progress.phase, now, share
        gained = share - self._first
        return round((now - self._started) * (1 - share) / gained, 1) if gained > 0 else None


Report = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """A report that goes nowhere."""
