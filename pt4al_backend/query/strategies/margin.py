"""Margin over the whole pool (Scheffer, Decomain and Wrobel, IDA 2001)."""

from typing import ClassVar

from pt4al_backend.query.strategies.uncertainty import Uncertainty


class Margin(Uncertainty):
    """Asks the tasks whose two likeliest classes are nearest to each other."""

    name: ClassVar[str] = "margin"
