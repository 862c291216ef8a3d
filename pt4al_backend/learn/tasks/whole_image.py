"""What the main tasks that label a whole image share: a linear layer on pooled features, and how images are read."""

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pt4al_backend.config import ProjectSettings
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.frames import Shape
from pt4al_backend.learn import augmentation
from pt4al_backend.learn.inference import scoring_size
from pt4al_backend.learn.labels.base import Targets
from pt4al_backend.learn.labels.image_labels import ImageLabels
from pt4al_backend.learn.minibatches import Data, Minibatch
from pt4al_backend.learn.networks import LEAST_SIDE_FROZEN, Body, Classifier, Form, ResNetForm, TimmForm, pooled
from pt4al_backend.learn.stored_images import StoredImages
from pt4al_backend.learn.tasks.base import Losses, MainTask


class WholeImage(MainTask, ImageLabels):
    """One logit for each class. ``predict`` gives posteriors float32 [m, C]."""

    minibatch_size = 128  # the paper's
    model: Classifier

    @staticmethod
    def form(shape: Shape, settings: ProjectSettings, device: torch.device) -> Form:
        """A pretrained encoder if one is set, else ResNet-18, of width 64 on a GPU and 16 on a CPU unless set."""
        if settings.pretrained_encoder:
            return TimmForm(settings.pretrained_encoder, least_side=LEAST_SIDE_FROZEN if settings.frozen_encoder else None)
        return ResNetForm.of(shape, settings.resnet_width(on_gpu=device.type == "cuda"))

    def __init__(self, body: Body, classes: tuple[str, ...], shape: Shape, settings: ProjectSettings) -> None:
        self.body, self.classes, self._shape, self._settings = body, classes, shape, settings
        self.model = Classifier(body, len(classes))
        self._augment: augmentation.Augment = augmentation.unchanged

    def training_data(self, pixels: FrameFile, rows: NDArray[np.int64], targets: Targets) -> Data:
        wanted = targets[np.arange(len(rows))]
        self.require_learnable(wanted)
        self._weigh(wanted)
        prepare, self._augment = augmentation.of_shape(self._shape)
        return StoredImages(pixels, rows, prepare, wanted)

    @abstractmethod
    def _weigh(self, targets: NDArray[Any]) -> None:
        """Weighs the classes, if they are to be."""

    def losses(self, minibatch: Minibatch, rng: np.random.Generator) -> Losses:
        images, targets = minibatch
        maps = self.maps(self._augment(images, rng))
        return Losses(maps, *self._compare(self.model.logits(pooled(maps[-1])), targets))

    @abstractmethod
    def _compare(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Losses of images and their weights, both [m], from logits [m, C]."""

    def calibrate(self, temperature: float) -> None:
        """Has all logits divided by a temperature from now on, which changes no answer, but how sure the model is of it."""
        with torch.no_grad():
            self.model.head.weight.div_(temperature)
            self.model.head.bias.div_(temperature)

    def minibatch_limit(self, device: torch.device) -> int:
        return scoring_size(device, self._shape, views=1)

    def maps(self, images: Tensor) -> list[Tensor]:
        return self.body.maps(images)

    def predict_with_features(self, images: Tensor) -> tuple[Tensor, ...]:
        features = self.model.features(images)
        return features, self.predict_from(features)

    def predict_from(self, features: Tensor) -> Tensor:
        """Posteriors float32 [m, C] from pooled features [m, d]."""
        return self._posteriors(self.model.logits(features))

    @abstractmethod
    def _posteriors(self, logits: Tensor) -> Tensor:
        """Posteriors float32 [m, C] from logits [m, C]."""
