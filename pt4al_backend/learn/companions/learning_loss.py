"""Learning Loss (Yoo and Kweon, CVPR 2019): a module that learns which of two images has the larger loss.

The module's loss of a pair is max(0, 1 - s d), s being the sign of the losses' difference and d the predictions' (eq. 2). It
reaches the body for the first 60 % of the training (epoch 120 of 200 as published); detached, as in PT4AL's comparison,
never, so that the model is the one that the other strategies have. Module and model share one optimiser and schedule.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pt4al_backend.learn.companions.base import Companion, CompanionInput, confidences_by_rank
from pt4al_backend.learn.companions.loss_prediction import WithLossModule
from pt4al_backend.learn.objective import Trainable
from pt4al_backend.learn.tasks.base import MainTask

MARGIN = 1.0
CUT = 0.6


class _Hinge(WithLossModule):
    def compare(self, predicted: Tensor, real: Tensor) -> Tensor:
        signs = (real > 0).float() * 2 - 1
        return (MARGIN - signs * predicted).clamp(min=0).mean() if len(real) else real.sum()


class LearningLoss(Companion):
    """Confidence is the rank by predicted loss, the largest first."""

    cut = CUT

    def __init__(self, task: MainTask) -> None:
        super().__init__(task)
        self._hinge = _Hinge(task, self.cut)

    def trainable(self) -> Trainable:
        return self._hinge

    def confidences(self, inputs: CompanionInput) -> NDArray[np.float64]:
        return confidences_by_rank(np.argsort(-self._hinge.predict_losses(inputs), kind="stable"))


class LearningLossDetached(LearningLoss):
    """The same with a module that never changes the body."""

    cut = 0.0
