"""PAL (Bhatnagar, Goyal, Tank and Sethi, BMVC 2021): tasks whose orientation and class a second network finds hard.

What it learns and how: ``companions.pal``.
"""

from typing import ClassVar

from pt4al_backend.query.strategies.companionship import CompanionStrategy
from pt4al_backend.query.strategies.strategy import Need


class Pal(CompanionStrategy):
    """Asks in the order in which the second network chooses; needs a main task with classes of images."""

    name: ClassVar[str] = "pal"
    needs: frozenset[Need] = frozenset({"posteriors"})
