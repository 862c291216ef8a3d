"""TA-VAAL (Kim, Park, Kim and Chun, CVPR 2021): VAAL that also knows how large the model's loss seems to be.

What it learns and how: ``companions.ta_vaal``.
"""

from typing import ClassVar

from pt4al_backend.query.strategies.companionship import CompanionStrategy


class TaVaal(CompanionStrategy):
    """Asks by the probability of being labelled, lowest first."""

    name: ClassVar[str] = "ta_vaal"
