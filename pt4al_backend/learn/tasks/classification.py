"""Classification: one class per image; cross-entropy, and the posteriors that PT4AL's query reads (paper, Eq. 2)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.images.mask_files import MaskFiles
from pt4al_backend.learn.frozen.heads import LinearHead, Standard
from pt4al_backend.learn.minibatches import Targets
from pt4al_backend.learn.tasks import intervals
from pt4al_backend.learn.tasks.base import Answer, Confidences, Metrics, require_finite
from pt4al_backend.learn.tasks.classes import balanced_weights, require_two_classes
from pt4al_backend.learn.tasks.whole_image import WholeImage
from pt4al_backend.query.confidence import confidences


class Classification(WholeImage):
    """``predict`` gives posteriors: softmax of the logits (not of normalised logits, as in the official code), float32 [m, C]."""

    name = "classification"
    _weights: Tensor | None = None

    def targets(self, labels: Sequence[str], _masks: MaskFiles | None, _file: Path) -> Targets:
        number = {name: k for k, name in enumerate(self.classes)}
        if unknown := sorted(set(labels) - number.keys()):
            raise TrainingImpossible(
                f"There are labels {', '.join(map(repr, unknown[:3]))}, which are no classes of this project.",
                "Check the classes in the labeling config; label the tasks of a renamed class again.",
            )
        return np.array([number[label] for label in labels], np.int64)

    def _weigh(self, targets: NDArray[Any]) -> None:
        counts = np.bincount(targets, minlength=len(self.classes))
        require_two_classes(counts, self.classes)
        if self._settings.class_weights == "balanced":
            self._weights = torch.from_numpy(balanced_weights(counts))

    def _compare(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        values = F.cross_entropy(logits, targets, reduction="none")
        if self._weights is None:
            return values, torch.ones_like(values)
        return values, self._weights.to(values, non_blocking=True)[targets]

    def _posteriors(self, logits: Tensor) -> Tensor:
        return F.softmax(logits, dim=1)

    def _fit(self, features: NDArray[np.float32], targets: NDArray[Any], standard: Standard, *, balanced: bool) -> LinearHead:
        return LinearHead.fit(features, targets, len(self.classes), standard, balanced=balanced)

    def interpret(self, rows: tuple[NDArray[Any], ...]) -> tuple[Confidences, list[Answer]]:
        (posteriors,) = rows
        require_finite(posteriors)
        return confidences(posteriors), [self.classes[k] for k in posteriors.argmax(1).tolist()]

    def posteriors(self, rows: tuple[NDArray[Any], ...]) -> NDArray[np.floating]:
        (posteriors,) = rows
        return posteriors

    def store(self, answer: Answer, _masks: MaskFiles) -> str:
        return str(answer)

    def tally(self, answers: Sequence[Answer], targets: NDArray[Any]) -> NDArray[Any]:
        """The class of each image, and 1 for a right answer, 0 for a wrong one: int64 [m, 2]."""
        right = [answer == self.classes[target] for answer, target in zip(answers, targets.tolist(), strict=True)]
        return np.stack([targets, np.array(right, np.int64)], axis=1)

    def metrics(self, tallies: NDArray[Any]) -> Metrics:
        """Accuracy with its Wilson score interval, and the balanced accuracy: the mean over the classes that images have."""
        targets, right = tallies.T
        counts = np.bincount(targets)
        there = counts > 0
        shares = np.bincount(targets, right)[there] / counts[there]
        measured = intervals.measured("accuracy", intervals.share(right), len(tallies))
        return {**measured, "balanced": float(shares.mean()) if len(shares) else None}
