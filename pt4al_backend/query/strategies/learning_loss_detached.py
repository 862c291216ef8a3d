"""Learning Loss, detached: the same, but learning to predict the loss leaves the model alone, as in PT4AL's comparison.

What it learns and how: ``companions.learning_loss``.
"""

from typing import ClassVar

from pt4al_backend.query.strategies.companionship import CompanionStrategy


class LearningLossDetached(CompanionStrategy):
    """Asks by predicted loss."""

    name: ClassVar[str] = "learning_loss_detached"
