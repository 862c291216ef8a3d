"""Any number of classes for each image. One is in an answer if its posterior is above ``label_sets.THRESHOLD``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from pt4al_backend.errors import TooFewClasses, TrainingImpossible
from pt4al_backend.images.mask_files import MaskFiles
from pt4al_backend.label_sets import THRESHOLD, LabelSet, from_text
from pt4al_backend.learn.frozen.heads import LinearHead, Standard
from pt4al_backend.learn.labels import average_precision, intervals
from pt4al_backend.learn.labels.base import Answer, Confidences, Metrics, Targets, require_finite
from pt4al_backend.learn.labels.image_labels import ImageLabels
from pt4al_backend.query.confidence import set_confidences


class SetLabels(ImageLabels):
    """Targets are float32 [n, C] of 0 and 1; each class has a posterior of its own."""

    name = "multilabel"

    def targets(self, labels: Sequence[str], _masks: MaskFiles | None, _file: Path) -> Targets:
        number = {name: k for k, name in enumerate(self.classes)}
        found = np.zeros((len(labels), len(self.classes)), np.float32)
        for row, label in zip(found, labels, strict=True):
            try:
                row[[number[name] for name in from_text(label)]] = 1
            except (KeyError, ValueError):
                raise TrainingImpossible(
                    f"There is a label {label!r}, which is no set of this project's classes.",
                    "Check the classes in the labeling config; label the tasks of a renamed class again.",
                ) from None
        return found

    def require_learnable(self, targets: NDArray[Any]) -> None:
        held = targets.sum(0).astype(np.int64)
        if not (held * (len(targets) - held)).any():
            raise TooFewClasses(
                "Training needs a class that some labelled images have and others have not; there is none.",
                "Label more tasks; until then they are served in the order of the ranking.",
            )

    def fit_head(self, features: NDArray[np.float32], targets: NDArray[Any], standard: Standard, *, balanced: bool) -> LinearHead:
        return LinearHead.fit_each(features, targets > 0, standard, balanced=balanced)

    def posteriors_of(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(expit(logits))

    def likelihoods(self, posteriors: NDArray[np.float64], targets: NDArray[Any]) -> NDArray[np.float64]:
        return np.where(targets > 0, posteriors, 1 - posteriors).ravel()

    def right(self, posteriors: NDArray[np.floating], targets: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(((posteriors > THRESHOLD) == (targets > 0)).mean(1), np.float64)

    def interpret(self, rows: tuple[NDArray[Any], ...]) -> tuple[Confidences, list[Answer]]:
        (posteriors,) = rows
        require_finite(posteriors)
        names = np.array(self.classes, object)
        answers: list[Answer] = [LabelSet(tuple(names[row > THRESHOLD]), row) for row in posteriors]
        return set_confidences(posteriors), answers

    def store(self, answer: Answer, _masks: MaskFiles) -> str:
        assert isinstance(answer, LabelSet)  # noqa: S101 - its own
        return answer.text

    def tally(self, answers: Sequence[Answer], targets: NDArray[Any]) -> NDArray[Any]:
        """Posteriors and targets of each image, float64 [m, 2, C]."""
        tallies = np.zeros((len(answers), 2, len(self.classes)))
        for tally, answer, truth in zip(tallies, answers, targets, strict=True):
            assert isinstance(answer, LabelSet)  # noqa: S101 - its own
            tally[:] = answer.posteriors, truth
        return tallies

    def metrics(self, tallies: NDArray[Any]) -> Metrics:
        """Mean average precision with its bootstrap interval; exact match, all classes right, with Wilson's."""
        exact = ((tallies[:, 0] > THRESHOLD) == (tallies[:, 1] > 0)).all(1).astype(np.int64)
        return {**average_precision.metrics(tallies, self.classes), "exact_match": intervals.share(exact)}
