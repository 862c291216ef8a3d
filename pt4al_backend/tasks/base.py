"""What a main task is: an objective with the annotators' labels as its targets."""

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray

from pt4al_backend.frames import Shape
from pt4al_backend.minibatches import Prepare
from pt4al_backend.networks import Body
from pt4al_backend.settings import ProjectSettings
from pt4al_backend.training import Objective, Recipe


class Task(Objective):
    """Base of the main tasks. ``scores`` gives what predictions and queries are made of, and is kept.

    ``prepare`` is what training does to stored frames on the CPU.
    """

    name: ClassVar[str]
    classes: tuple[str, ...]
    body: Body
    prepare: Prepare

    @abstractmethod
    def __init__(self, body: Body, classes: tuple[str, ...], shape: Shape) -> None:
        """A model with a fresh head, ready to score images of a shape."""

    @abstractmethod
    def learn_from(self, targets: NDArray[Any], settings: ProjectSettings) -> None:
        """Gets ready to train on the targets: checks that they can be learned, weighs them, sets up the augmentation.

        Raises:
            TrainingImpossible: they cannot, and why.
        """

    @abstractmethod
    def recipe(self, images: int, settings: ProjectSettings, device: torch.device, *, fresh: bool) -> Recipe:
        """How ``images`` labelled images are learned; ``fresh`` is False if the body has weights from elsewhere."""

    @abstractmethod
    def metrics(self, scores: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
        """How well the scores meet the targets; JSON."""
