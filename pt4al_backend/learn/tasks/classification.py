"""Classification: one class per image; cross-entropy, and the posteriors that PT4AL's query reads (paper, Eq. 2)."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pt4al_backend.learn.labels.class_labels import ClassLabels
from pt4al_backend.learn.labels.classes import balanced_weights
from pt4al_backend.learn.tasks.whole_image import WholeImage


class Classification(WholeImage, ClassLabels):
    """``predict`` gives posteriors: softmax of the logits (not of normalised logits, as in the official code), float32 [m, C]."""

    _weights: Tensor | None = None

    def _weigh(self, targets: NDArray[Any]) -> None:
        if self._settings.class_weights == "balanced":
            self._weights = torch.from_numpy(balanced_weights(np.bincount(targets, minlength=len(self.classes))))

    def _compare(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        values = F.cross_entropy(logits, targets, reduction="none")
        if self._weights is None:
            return values, torch.ones_like(values)
        return values, self._weights.to(values, non_blocking=True)[targets]

    def _posteriors(self, logits: Tensor) -> Tensor:
        return F.softmax(logits, dim=1)
