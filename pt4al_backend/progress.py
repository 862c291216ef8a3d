"""How far a phase is: the one event of a job's child process, of the engine, and of the commands."""

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


Report = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """A report that goes nowhere."""
