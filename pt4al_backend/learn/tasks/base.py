"""Base of the main tasks: a model that is trained on the annotators' labels, and its predictions."""

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pt4al_backend.config import ProjectSettings
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.frames import Shape
from pt4al_backend.learn.labels.base import LabelSpace, Targets
from pt4al_backend.learn.loop import Recipe, extend_epochs, limit_minibatch
from pt4al_backend.learn.minibatches import Data, Minibatch
from pt4al_backend.learn.networks import Body, Form
from pt4al_backend.learn.objective import Trainable


class Losses(NamedTuple):
    """Of a minibatch of m images: feature maps of four depths (``Body.maps``), and losses and their weights, both [m]."""

    maps: list[Tensor]
    values: Tensor
    weights: Tensor

    def mean(self) -> Tensor:
        """The mean by weight; 0 where nothing has any."""
        return (self.values * self.weights).sum() / self.weights.sum().clamp(min=torch.finfo(torch.float32).tiny)


class MainTask(Trainable, LabelSpace):
    """Base of the main tasks. Nothing outside its subclasses depends on which of them it is."""

    #: Images in one step of SGD unless the setting of that name is set.
    minibatch_size: ClassVar[int]
    body: Body
    _settings: ProjectSettings

    @staticmethod
    @abstractmethod
    def form(shape: Shape, settings: ProjectSettings, device: torch.device) -> Form:
        """The form of the bodies that pretext learner and main task are built on."""

    @abstractmethod
    def __init__(self, body: Body, classes: tuple[str, ...], shape: Shape, settings: ProjectSettings) -> None:
        """A model with a fresh head for images of a shape."""

    # learning

    @abstractmethod
    def training_data(self, pixels: FrameFile, rows: NDArray[np.int64], targets: Targets) -> Data:
        """What training draws minibatches from. Checks that the targets can be learned, and weighs the classes.

        Raises:
            TrainingImpossible: the targets cannot be learned; the message says why.
        """

    @abstractmethod
    def losses(self, minibatch: Minibatch, rng: np.random.Generator) -> Losses:
        """What training lowers, image by image; augments on the device where the task does."""

    def loss(self, minibatch: Minibatch, rng: np.random.Generator) -> Tensor:
        return self.losses(minibatch, rng).mean()

    def recipe(self, images: int, device: torch.device, *, fresh: bool) -> Recipe:
        """How ``images`` labelled images are learned; ``fresh`` is False if the body has weights from elsewhere.

        The paper's optimiser; highest learning rate 0.1 for fresh weights, 0.05 for others, of vision transformers a fifth. With
        few labels ``limit_minibatch`` makes the minibatches smaller and, where ``epochs`` is not set, ``extend_epochs`` adds
        epochs. The paper's step schedule has no warm-up.
        """
        settings = self._settings
        size = limit_minibatch(settings.minibatch_size or self.minibatch_size, images)
        return Recipe(
            epochs=settings.epochs or extend_epochs(100 if device.type == "cuda" else 30, images, size),
            minibatch_size=size,
            learning_rate=settings.learning_rate or self.body.rate_share * (0.1 if fresh else 0.05),
            schedule=settings.schedule,
            warmup=0.05 if settings.schedule == "cosine" else 0.0,
            layer_decay=1.0 if fresh else self.body.layer_decay,
        )

    # predicting

    @abstractmethod
    def minibatch_limit(self, device: torch.device) -> int:
        """Images in a minibatch of ``predict``."""

    def predict(self, images: Tensor) -> tuple[Tensor, ...]:
        """The model's outputs for images [m, 3, H, W], in evaluation mode, nothing random: tensors of m rows each."""
        return self.predict_with_features(images)[1:]

    @abstractmethod
    def maps(self, images: Tensor) -> list[Tensor]:
        """Feature maps of four depths (``Body.maps``) of images of any size."""

    @abstractmethod
    def predict_with_features(self, images: Tensor) -> tuple[Tensor, ...]:
        """The body's pooled features float32 [m, d], then what ``predict`` gives, in one forward pass."""
