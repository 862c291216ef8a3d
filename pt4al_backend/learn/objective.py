"""What the training loop and inference work on: a model with a loss (``Trainable``), and with scores too (``Objective``)."""

from abc import ABC, abstractmethod

import numpy as np
from torch import Tensor, nn

from pt4al_backend.learn.minibatches import Minibatch


class Trainable(ABC):
    """A model, and the loss of a minibatch."""

    model: nn.Module
    done: float = 0.0  #: part of the training that is done, 0..1, for a loss that changes on the way

    @abstractmethod
    def loss(self, minibatch: Minibatch, rng: np.random.Generator) -> Tensor:
        """The scalar that training lowers; augments on the device where the objective does."""


class Objective(Trainable):
    """A trainable whose model also gives every image a row of scores."""

    views: int = 1  #: forward passes that one image takes
    outputs: int  #: columns of ``scores``

    @abstractmethod
    def scores(self, images: Tensor) -> Tensor:
        """Scores of images [m, 3, H, W]: float32 or float64 [m, outputs], in evaluation mode, nothing random."""
