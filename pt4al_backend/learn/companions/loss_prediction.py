"""Predicting an image's loss from the main task's feature maps of it (Yoo and Kweon, CVPR 2019, section 3.2).

The module takes maps of four depths; of each a global average and 128 rectified linear features, then one linear layer over
the 512. It learns the order of the losses of pairs of images within a minibatch, never their values: the i-th image
is compared with the i-th from the end (of an odd number the middle one is left out).
"""

from abc import abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pt4al_backend.learn.companions.base import CompanionInput
from pt4al_backend.learn.minibatches import Minibatch
from pt4al_backend.learn.networks import pooled
from pt4al_backend.learn.objective import Trainable
from pt4al_backend.learn.tasks.base import MainTask

HIDDEN = 128


class LossModule(nn.Module):
    """Feature maps of the given widths to one number for each image, float32 [m]."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.of_maps = nn.ModuleList(nn.Linear(width, HIDDEN) for width in widths)
        self.last = nn.Linear(HIDDEN * len(widths), 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        with torch.autocast(maps[0].device.type, enabled=False):
            parts = [F.relu(linear(pooled(each))) for linear, each in zip(self.of_maps, maps, strict=True)]
            predicted: Tensor = self.last(torch.cat(parts, 1))[:, 0]
        return predicted


class WithLossModule(Trainable):
    """The main task and a loss module, trained together by one optimiser: the sum of both losses, by equal weights.

    Args:
        task: the main task.
        cut: part of the training, 0..1, from which on the module's loss no longer reaches the main task's body.
    """

    def __init__(self, task: MainTask, cut: float) -> None:
        self.task, self.module, self._cut = task, LossModule(task.body.widths), cut
        self.model = nn.ModuleDict({"task": task.model, "module": self.module})

    def loss(self, minibatch: Minibatch, rng: np.random.Generator) -> Tensor:
        losses = self.task.losses(minibatch, rng)
        maps = [each.detach() for each in losses.maps] if self.done >= self._cut else losses.maps
        half = len(losses.values) // 2
        predicted, real = (each[:half] - each.flip(0)[:half] for each in (self.module(maps), losses.values.detach()))
        return losses.mean() + self.compare(predicted, real)

    @abstractmethod
    def compare(self, predicted: Tensor, real: Tensor) -> Tensor:
        """The module's loss from differences within pairs, both float32 [pairs]."""

    def predict_losses(self, inputs: CompanionInput) -> NDArray[np.float64]:
        """Predicted losses of the candidates, float64 [m], comparable with each other alone."""

        def predict(images: Tensor) -> tuple[Tensor, ...]:
            return (self.module(self.task.maps(images)).double(),)

        return inputs.score_candidates(self.model, predict, self.task.minibatch_limit(inputs.device))
