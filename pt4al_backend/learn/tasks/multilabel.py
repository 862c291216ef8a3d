"""Multi-label classification: any number of classes per image, each learned by itself by binary cross-entropy.

A class is in an answer if its posterior is above 0.5 (see ``label_sets.THRESHOLD``).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pt4al_backend.errors import TooFewClasses, TrainingImpossible
from pt4al_backend.images.mask_files import MaskFiles
from pt4al_backend.label_sets import THRESHOLD, LabelSet, from_text
from pt4al_backend.learn.frozen.heads import LinearHead, Standard
from pt4al_backend.learn.minibatches import Targets
from pt4al_backend.learn.tasks import average_precision, intervals
from pt4al_backend.learn.tasks.base import Answer, Confidences, Metrics, require_finite
from pt4al_backend.learn.tasks.classes import balanced_weights
from pt4al_backend.learn.tasks.whole_image import WholeImage
from pt4al_backend.query.confidence import set_confidences


class Multilabel(WholeImage):
    """``predict`` gives a posterior of each class by itself: the sigmoid of its logit. Targets are float32 [n, C] of 0 and 1."""

    name = "multilabel"
    _weights: Tensor | None = None  # float32 [2, C], of a class that is not there, and of one that is

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

    def _weigh(self, targets: NDArray[Any]) -> None:
        """``balanced`` gives those that have a class as much weight as those that have not, class by class."""
        held = targets.sum(0).astype(np.int64)
        missed = len(targets) - held
        if not (held * missed).any():
            raise TooFewClasses(
                "Training needs a class that some labelled images have and others have not; there is none.",
                "Label more tasks; until then they are served in the order of the ranking.",
            )
        if self._settings.class_weights == "balanced":
            each = [balanced_weights(np.array(counts)) for counts in zip(missed, held, strict=True)]
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

    def _fit(self, features: NDArray[np.float32], targets: NDArray[Any], standard: Standard, *, balanced: bool) -> LinearHead:
        return LinearHead.fit_each(features, targets > 0, standard, balanced=balanced)

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
