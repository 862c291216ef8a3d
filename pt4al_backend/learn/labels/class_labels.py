"""One class for each image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.images.mask_files import MaskFiles
from pt4al_backend.learn.frozen.heads import LinearHead, Standard
from pt4al_backend.learn.labels import intervals
from pt4al_backend.learn.labels.base import Answer, Confidences, Metrics, Targets, require_finite
from pt4al_backend.learn.labels.classes import require_two_classes
from pt4al_backend.learn.labels.image_labels import ImageLabels
from pt4al_backend.query.confidence import confidences


class ClassLabels(ImageLabels):
    """Targets are numbers of classes, int64 [n]; posteriors of an image sum to one."""

    name = "classification"

    def targets(self, labels: Sequence[str], _masks: MaskFiles | None, _file: Path) -> Targets:
        number = {name: k for k, name in enumerate(self.classes)}
        if unknown := sorted(set(labels) - number.keys()):
            raise TrainingImpossible(
                f"There are labels {', '.join(map(repr, unknown[:3]))}, which are no classes of this project.",
                "Check the classes in the labeling config; label the tasks of a renamed class again.",
            )
        return np.array([number[label] for label in labels], np.int64)

    def require_learnable(self, targets: NDArray[Any]) -> None:
        require_two_classes(np.bincount(targets, minlength=len(self.classes)), self.classes)

    def fit_head(self, features: NDArray[np.float32], targets: NDArray[Any], standard: Standard, *, balanced: bool) -> LinearHead:
        return LinearHead.fit(features, targets, len(self.classes), standard, balanced=balanced)

    def posteriors_of(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(softmax(logits, axis=1))

    def likelihoods(self, posteriors: NDArray[np.float64], targets: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(posteriors[np.arange(len(targets)), targets])

    def right(self, posteriors: NDArray[np.floating], targets: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(posteriors.argmax(1) == targets, np.float64)

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
        """Accuracy with its Wilson score interval, that of each class that images have, and their mean, the balanced accuracy."""
        targets, right = tallies.T
        hits = {self.classes[k]: right[targets == k] for k in np.unique(targets).tolist()}
        classes = {name: intervals.of_class(intervals.share(each), len(each)) for name, each in hits.items()}
        shares = [each["value"] for each in classes.values() if each["value"] is not None]
        measured = intervals.measured("accuracy", intervals.share(right), len(tallies))
        return {**measured, "balanced": float(np.mean(shares)) if shares else None, "classes": classes}
