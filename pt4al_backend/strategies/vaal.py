"""VAAL (Sinha, Ebrahimi and Darrell, ICCV 2019); see ``companions.vaal``."""

from typing import ClassVar

from pt4al_backend.strategies.companionship import Companionship
from pt4al_backend.strategies.strategy import register


@register
class Vaal(Companionship):
    """Asks the tasks that a discriminator finds least like the labelled ones."""

    name: ClassVar[str] = "vaal"
