"""How a piece of work reports where it stands. Free of torch, so that a command line can show it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

#: What a job is doing; ``phases.PHASES`` has the words for people.
TrainingPhase = Literal["preparing", "pretext", "training", "scoring", "companion"]


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` images of epoch ``epoch`` (from 1) of ``epochs``; ``note`` is a sentence for the user, or empty."""

    phase: TrainingPhase
    epoch: int
    epochs: int
    done: int
    total: int
    note: str = ""


Report = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """A report that goes nowhere."""
