"""What a main task is: a model that is trained on the annotators' labels, and what it says of images."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pt4al_backend.config import ProjectSettings
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.frames import Shape
from pt4al_backend.images.mask_files import Mask, MaskFiles
from pt4al_backend.learn.loop import Recipe, Trainable, enough_epochs, few_images
from pt4al_backend.learn.minibatches import Data, Minibatch, Targets
from pt4al_backend.learn.networks import Body, Form

#: What a model says of an image: the name of a class, or a mask at the size of the frame.
Answer = str | Mask
#: Confidences float64 [m] in [0, 1], low where the model is unsure, by the names of ``confidence.SAMPLERS``.
Confidences = dict[str, NDArray[np.float64]]


class Losses(NamedTuple):
    """Of a minibatch of m images: feature maps of four depths (``Body.maps``), and losses and their weights, both [m]."""

    maps: list[Tensor]
    values: Tensor
    weights: Tensor

    def mean(self) -> Tensor:
        """The mean by weight; 0 where nothing has any."""
        return (self.values * self.weights).sum() / self.weights.sum().clamp(min=torch.finfo(torch.float32).tiny)


class MainTask(Trainable):
    """Base of the main tasks. Nothing outside its subclasses asks which of them it is."""

    name: ClassVar[str]
    #: Images in one step of SGD where the setting says nothing.
    minibatch: ClassVar[int]
    #: Candidates whose answers are kept, the least confident (see ``examination``); None keeps all.
    most_answers: ClassVar[int | None] = None
    body: Body
    classes: tuple[str, ...]
    _settings: ProjectSettings

    @staticmethod
    @abstractmethod
    def form(shape: Shape, settings: ProjectSettings, device: torch.device) -> Form:
        """The form of the bodies that pretext learner and main task are built on."""

    @abstractmethod
    def __init__(self, body: Body, classes: tuple[str, ...], shape: Shape, settings: ProjectSettings) -> None:
        """A model with a fresh head, ready to look at images of a shape."""

    # learning

    @abstractmethod
    def targets(self, labels: Sequence[str], masks: MaskFiles | None, file: Path) -> Targets:
        """What labels say, one target each: class names, or names among ``masks``. ``file`` may be used to keep them in.

        Raises:
            TrainingImpossible: a label that this task does not know.
            StoreCorrupt: a mask is missing or damaged.
        """

    @abstractmethod
    def training_data(self, pixels: FrameFile, rows: NDArray[np.int64], targets: Targets) -> Data:
        """What training draws from. Checks that the targets can be learned, and weighs the classes.

        Raises:
            TrainingImpossible: they cannot, and why.
        """

    @abstractmethod
    def losses(self, minibatch: Minibatch, rng: np.random.Generator) -> Losses:
        """What training lowers, image by image; augments on the device where the task does."""

    def loss(self, minibatch: Minibatch, rng: np.random.Generator) -> Tensor:
        return self.losses(minibatch, rng).mean()

    def recipe(self, images: int, device: torch.device, *, fresh: bool) -> Recipe:
        """How ``images`` labelled images are learned; ``fresh`` is False if the body has weights from elsewhere.

        The paper's optimiser; highest rate 0.1 for fresh weights, 0.05 for others (in classification 0.01 learned slower in
        every trial).

        Few labels: ``few_images`` makes the minibatches smaller and, where ``epochs`` is not set, ``enough_epochs`` adds
        epochs. The paper's step schedule has no warm-up.
        """
        settings = self._settings
        size = few_images(settings.minibatch_size or self.minibatch, images)
        return Recipe(
            epochs=settings.epochs or enough_epochs(100 if device.type == "cuda" else 30, images, size),
            minibatch_size=size,
            learning_rate=settings.learning_rate or (0.1 if fresh else 0.05),
            schedule=settings.schedule,
            warmup=0.05 if settings.schedule == "cosine" else 0.0,
        )

    # answering

    @abstractmethod
    def together(self, device: torch.device) -> int:
        """Images in a minibatch of ``look``."""

    def look(self, images: Tensor) -> tuple[Tensor, ...]:
        """All that answers are made of, of images [m, 3, H, W] in evaluation mode, nothing random: tensors of m rows."""
        return self.study(images)[1:]

    @abstractmethod
    def maps(self, images: Tensor) -> list[Tensor]:
        """Feature maps of four depths (``Body.maps``) of images of any size."""

    @abstractmethod
    def study(self, images: Tensor) -> tuple[Tensor, ...]:
        """What the model tells images by, the body's pooled features float32 [m, d], and then what ``look`` gives."""

    @abstractmethod
    def say(self, rows: tuple[NDArray[Any], ...]) -> tuple[Confidences, list[Answer]]:
        """What ``look`` has seen, in words.

        Raises:
            TrainingImpossible: the model has diverged.
        """

    def posteriors(self, rows: tuple[NDArray[Any], ...]) -> NDArray[np.floating]:  # noqa: ARG002 - for those that have some
        """Of what ``look`` has seen one posterior for each class and image, [m, C].

        Raises:
            TrainingImpossible: this task has none (see ``tasks.POSTERIORS``).
        """
        raise TrainingImpossible(f"{self.name} has no posteriors of images.", "Set strategy in the extra params to another.")

    @abstractmethod
    def write(self, answer: Answer, masks: MaskFiles) -> str:
        """An answer as the name that stands for it; a mask is put into ``masks``."""

    # measuring

    @abstractmethod
    def tally(self, answers: Sequence[Answer], targets: NDArray[Any]) -> NDArray[np.int64]:
        """What the metrics need of each image, [m, ...]."""

    @abstractmethod
    def metrics(self, tallies: NDArray[np.int64]) -> dict[str, Any]:
        """How well the model did on images drawn uniformly: ``metric``, ``value``, ``low``, ``high`` (95 %), ``total``; JSON.

        Without an image to measure it on, value and interval are None.
        """


def require_finite(posteriors: NDArray[np.floating]) -> None:
    """Raises TrainingImpossible if a model has diverged."""
    if not np.isfinite(posteriors).all():
        raise TrainingImpossible("The model's posteriors are not all finite.", "Set learning_rate in the extra params to less.")
