"""VAAL (Sinha, Ebrahimi and Darrell, ICCV 2019): tasks that an adversarial autoencoder finds least like the labelled.

What it learns and how: ``companions.vaal``.
"""

from typing import ClassVar

from pt4al_backend.query.strategies.companionship import CompanionStrategy


class Vaal(CompanionStrategy):
    """Asks by the probability of being labelled, lowest first."""

    name: ClassVar[str] = "vaal"
