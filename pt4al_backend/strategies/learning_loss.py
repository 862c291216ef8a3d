"""Learning Loss (Yoo and Kweon, CVPR 2019), and its detached variant in PT4AL's comparison; see ``companions.learning_loss``."""

from typing import ClassVar

from pt4al_backend.strategies.companionship import Companionship
from pt4al_backend.strategies.strategy import register


@register
class LearningLoss(Companionship):
    """Asks the tasks with the largest predicted loss; the prediction shapes the model as well."""

    name: ClassVar[str] = "learning_loss"


@register
class LearningLossDetached(Companionship):
    """Asks the tasks with the largest predicted loss."""

    name: ClassVar[str] = "learning_loss_detached"
