"""Classification: one class per image; cross-entropy, and the posteriors that PT4AL's query reads (paper, Eq. 2)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest
from torch import Tensor
from torch.nn import functional as F

from pt4al_backend.config import ProjectSettings
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.frames import Shape
from pt4al_backend.images.mask_files import MaskFiles
from pt4al_backend.learn import augmentation
from pt4al_backend.learn.inference import scoring_size
from pt4al_backend.learn.minibatches import Data, Minibatch, Targets
from pt4al_backend.learn.networks import Body, Classifier, Form, ResNetForm, pooled
from pt4al_backend.learn.stored_images import StoredImages
from pt4al_backend.learn.tasks.base import Answer, Confidences, Losses, MainTask, Metrics, require_finite
from pt4al_backend.learn.tasks.classes import balanced_weights, require_two_classes
from pt4al_backend.query.confidence import confidences


class Classification(MainTask):
    """``predict`` gives posteriors: softmax of the logits (not of normalised logits, as in the official code), float32 [m, C]."""

    name = "classification"
    minibatch_size = 128  # the paper's
    model: Classifier

    @staticmethod
    def form(shape: Shape, settings: ProjectSettings, device: torch.device) -> Form:
        """ResNet-18, of width 64 on a GPU and 16 on a CPU unless set."""
        return ResNetForm.of(shape, settings.width or (64 if device.type == "cuda" else 16))

    def __init__(self, body: Body, classes: tuple[str, ...], shape: Shape, settings: ProjectSettings) -> None:
        self.body, self.classes, self._shape, self._settings = body, classes, shape, settings
        self.model = Classifier(body, len(classes))
        self._augment: augmentation.Augment = augmentation.unchanged
        self._weights: Tensor | None = None

    def targets(self, labels: Sequence[str], _masks: MaskFiles | None, _file: Path) -> Targets:
        number = {name: k for k, name in enumerate(self.classes)}
        if unknown := sorted(set(labels) - number.keys()):
            raise TrainingImpossible(
                f"There are labels {', '.join(map(repr, unknown[:3]))}, which are no classes of this project.",
                "Check the classes in the labeling config; label the tasks of a renamed class again.",
            )
        return np.array([number[label] for label in labels], np.int64)

    def training_data(self, pixels: FrameFile, rows: NDArray[np.int64], targets: Targets) -> Data:
        numbers = targets[np.arange(len(rows))]
        counts = np.bincount(numbers, minlength=len(self.classes))
        require_two_classes(counts, self.classes)
        if self._settings.class_weights == "balanced":
            self._weights = torch.from_numpy(balanced_weights(counts))
        prepare, self._augment = augmentation.of_shape(self._shape)
        return StoredImages(pixels, rows, prepare, numbers)

    def losses(self, minibatch: Minibatch, rng: np.random.Generator) -> Losses:
        images, targets = minibatch
        maps = self.maps(self._augment(images, rng))
        values = F.cross_entropy(self.model.logits(pooled(maps[-1])), targets, reduction="none")
        if self._weights is None:
            return Losses(maps, values, torch.ones_like(values))
        return Losses(maps, values, self._weights.to(values, non_blocking=True)[targets])

    def minibatch_limit(self, device: torch.device) -> int:
        return scoring_size(device, self._shape, views=1)

    def maps(self, images: Tensor) -> list[Tensor]:
        return self.body.maps(images)

    def predict_with_features(self, images: Tensor) -> tuple[Tensor, ...]:
        features = self.model.features(images)
        return features, F.softmax(self.model.logits(features), dim=1)

    def interpret(self, rows: tuple[NDArray[Any], ...]) -> tuple[Confidences, list[Answer]]:
        (posteriors,) = rows
        require_finite(posteriors)
        return confidences(posteriors), [self.classes[k] for k in posteriors.argmax(1).tolist()]

    def posteriors(self, rows: tuple[NDArray[Any], ...]) -> NDArray[np.floating]:
        (posteriors,) = rows
        return posteriors

    def store(self, answer: Answer, _masks: MaskFiles) -> str:
        return str(answer)

    def tally(self, answers: Sequence[Answer], targets: NDArray[Any]) -> NDArray[np.int64]:
        """1 for each right answer, 0 for each wrong one: [m]."""
        right = [answer == self.classes[target] for answer, target in zip(answers, targets.tolist(), strict=True)]
        return np.array(right, np.int64)

    def metrics(self, tallies: NDArray[np.int64]) -> Metrics:
        """Accuracy, and its Wilson score interval (Wilson 1927)."""
        total = len(tallies)
        if not total:
            return {"metric": "accuracy", "value": None, "low": None, "high": None, "total": 0}
        interval = binomtest(int(tallies.sum()), total).proportion_ci(0.95, method="wilson")
        value, low, high = float(tallies.mean()), float(interval.low), float(interval.high)
        return {"metric": "accuracy", "value": value, "low": low, "high": high, "total": total}
