"""Learning Loss (Yoo and Kweon, CVPR 2019): tasks for which a module beside the model predicts the largest loss.

What it learns and how: ``companions.learning_loss``.
"""

from typing import ClassVar

from pt4al_backend.query.strategies.companionship import CompanionStrategy


class LearningLoss(CompanionStrategy):
    """Asks by predicted loss; learning to predict it shapes the model as well."""

    name: ClassVar[str] = "learning_loss"
