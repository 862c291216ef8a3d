"""TA-VAAL (Kim, Park, Kim and Chun, CVPR 2021); see ``companions.ta_vaal``."""

from typing import ClassVar

from pt4al_backend.strategies.companionship import Companionship
from pt4al_backend.strategies.strategy import register


@register
class TaVaal(Companionship):
    """Asks the tasks that a discriminator which knows their predicted loss finds least like the labelled ones."""

    name: ClassVar[str] = "ta_vaal"
