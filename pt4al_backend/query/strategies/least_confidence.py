"""Least confidence over the whole pool: PT4AL's sampler (Eq. 2) without its batches."""

from typing import ClassVar

from pt4al_backend.query.strategies.uncertainty import Uncertainty


class LeastConfidence(Uncertainty):
    """Asks the tasks with the lowest top-1 posterior."""

    name: ClassVar[str] = "least_confidence"
