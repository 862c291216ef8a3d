"""A small objective and its data, for tests of training and inference."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pt4al_backend.learn.minibatches import Minibatch
from pt4al_backend.learn.objective import Objective


class Points:
    """Data of ``count`` "images" of two numbers, and the sum of both as the target."""

    def __init__(self, count: int) -> None:
        self.points = torch.from_numpy(np.random.default_rng(0).normal(size=(count, 2))).float()

    def __len__(self) -> int:
        return len(self.points)

    def minibatch(self, positions: NDArray[np.int64], rng: np.random.Generator) -> Minibatch:
        points = self.points[torch.from_numpy(positions)]
        return points, points.sum(1, keepdim=True)


class Sum(Objective):
    """Learns to add; ``room`` is how many images it has memory for."""

    outputs = 1

    def __init__(self, room: int = 10**6) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1))
        self.room = room
        self.sizes: list[int] = []

    def loss(self, minibatch: Minibatch, rng: np.random.Generator) -> Tensor:
        points, sums = minibatch
        if len(points) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.sizes.append(len(points))
        noisy = points + torch.from_numpy(rng.normal(0, 0.01, points.shape)).float()
        return (self.model(noisy) - sums).square().mean()

    def scores(self, images: Tensor) -> Tensor:
        if len(images) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        with torch.autocast("cpu", enabled=False):
            result: Tensor = self.model(images)
        return result
