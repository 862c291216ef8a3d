"""Entropy over the whole pool (Settles, Active Learning Literature Survey, 2009, section 3.1)."""

from typing import ClassVar

from pt4al_backend.query.strategies.uncertainty import Uncertainty


class Entropy(Uncertainty):
    """Asks the tasks whose posteriors are nearest to uniform."""

    name: ClassVar[str] = "entropy"
