"""Multi-label classification: any number of classes per image, each learned by itself by binary cross-entropy.

A class is in an answer if its posterior is above 0.5 (see ``label_sets.THRESHOLD``).
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pt4al_backend.learn.labels.classes import balanced_weights
from pt4al_backend.learn.labels.set_labels import SetLabels
from pt4al_backend.learn.tasks.whole_image import WholeImage


class Multilabel(WholeImage, SetLabels):
    """``predict`` gives a posterior of each class by itself: the sigmoid of its logit. Targets are float32 [n, C] of 0 and 1."""

    _weights: Tensor | None = None  # float32 [2, C], of a class that is not there, and of one that is

    def _weigh(self, targets: NDArray[Any]) -> None:
        """``balanced`` gives those that have a class as much weight as those that have not, class by class."""
        if self._settings.class_weights == "balanced":
            held = targets.sum(0).astype(np.int64)
            each = [balanced_weights(np.array(counts)) for counts in zip(len(targets) - held, held, strict=True)]
            self._weights = torch.from_numpy(np.stack(each, 1))

    def _compare(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The sum over the classes: minus the logarithm of the probability of the whole set. A mean would learn more slowly, the
        more classes there are."""
        values = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        if self._weights is not None:
            absent, present = self._weights.to(values, non_blocking=True)
            values = values * torch.where(targets > 0, present, absent)
        totals = values.sum(1)
        return totals, torch.ones_like(totals)

    def _posteriors(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()
