"""Learning Loss (Yoo and Kweon, CVPR 2019): a module that learns to tell which of two images has the larger loss.

Per pair the module loses max(0, 1 - s d), s being the sign of the losses' difference and d the predictions'. Its loss
reaches the body for the first 60 % of the training (epoch 120 of 200 as published); detached, as in PT4AL's comparison,
never, so that the model is the one that the other strategies have. Module and model share one optimiser and schedule.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pt4al_backend.learn.companions.base import Companion, CompanionInput, by_place
from pt4al_backend.learn.companions.loss_prediction import WithModule
from pt4al_backend.learn.loop import Trainable
from pt4al_backend.learn.tasks.base import MainTask

MARGIN = 1.0
CUT = 0.6


class _Hinge(WithModule):
    def compare(self, predicted: Tensor, real: Tensor) -> Tensor:
        signs = (real > 0).float() * 2 - 1
        return (MARGIN - signs * predicted).clamp(min=0).mean() if len(real) else real.sum()


class LearningLoss(Companion):
    """Confidence is the place in the order of the predicted losses, the largest first."""

    cut = CUT

    def __init__(self, task: MainTask) -> None:
        super().__init__(task)
        self._together = _Hinge(task, self.cut)

    def beside(self) -> Trainable:
        return self._together

    def confidences(self, asked: CompanionInput) -> NDArray[np.float64]:
        return by_place(np.argsort(-self._together.predict(asked), kind="stable"))


class LearningLossDetached(LearningLoss):
    """The same with a module that never changes the body."""

    cut = 0.0
