"""Classification: one class per image; cross-entropy, and the posteriors that PT4AL's query reads (paper, Eq. 2)."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pt4al_backend import augmentation
from pt4al_backend.augmentation import Augment
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.frames import Shape
from pt4al_backend.minibatches import Minibatch, Prepare
from pt4al_backend.networks import Body, Classifier
from pt4al_backend.settings import ProjectSettings
from pt4al_backend.tasks.base import Task
from pt4al_backend.training import Recipe, enough_epochs, few_images


def balanced_weights(targets: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """Weight of each class, its inverse frequency: float32 [classes], mean 1 over the images; 0 for a class without any."""
    counts = np.bincount(targets, minlength=classes)
    present = counts > 0
    weights = np.zeros(classes, dtype=np.float32)
    weights[present] = len(targets) / (present.sum() * counts[present])
    return weights


class Classification(Task):
    """``scores`` are posteriors: softmax of the logits (not of normalised logits, as in the official code), float32 [m, C]."""

    name = "classification"

    def __init__(self, body: Body, classes: tuple[str, ...], shape: Shape) -> None:
        self.body, self.classes, self._shape = body, classes, shape
        self.outputs = len(classes)
        self.model = Classifier(body, self.outputs)
        self.prepare: Prepare = augmentation.Centre(shape)
        self._augment: Augment = augmentation.unchanged
        self._weights: Tensor | None = None

    def learn_from(self, targets: NDArray[Any], settings: ProjectSettings) -> None:
        present = np.unique(targets)
        if len(present) < 2:
            only = f"only {self.classes[int(present[0])]!r}" if len(present) else "none"
            raise TrainingImpossible(
                f"Training needs labels of two classes or more; there is {only}.",
                "Label more tasks; the ranking serves meanwhile.",
            )
        self.prepare, self._augment = augmentation.of_shape(self._shape)
        if settings.class_weights == "balanced":
            self._weights = torch.from_numpy(balanced_weights(targets, len(self.classes)))

    def recipe(self, images: int, settings: ProjectSettings, device: torch.device, *, fresh: bool) -> Recipe:
        """The paper's optimiser; highest rate 0.1 for fresh weights, 0.05 for others (0.01 learned slower in every trial).

        Few labels: ``few_images`` makes the minibatches smaller and, where ``epochs`` is not set, ``enough_epochs`` adds
        epochs. The paper's step schedule has no warm-up.
        """
        size = few_images(settings.minibatch_size, images)
        return Recipe(
            epochs=settings.epochs or enough_epochs(100 if device.type == "cuda" else 30, images, size),
            minibatch_size=size,
            learning_rate=settings.learning_rate or (0.1 if fresh else 0.05),
            schedule=settings.schedule,
            warmup=0.05 if settings.schedule == "cosine" else 0.0,
        )

    def loss(self, minibatch: Minibatch, rng: np.random.Generator) -> Tensor:
        images, targets = minibatch
        weights = None if self._weights is None else self._weights.to(images.device)
        return F.cross_entropy(self.model(self._augment(images, rng)), targets, weights)

    def scores(self, images: Tensor) -> Tensor:
        return F.softmax(self.model(images), dim=1)

    def metrics(self, scores: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
        return {"correct": int((scores.argmax(1) == targets).sum()), "total": len(targets)}
