"""A small training that several peers can share: ``python -m tests.support.shared_training FILE IMAGES`` under torchrun."""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pt4al_backend.learn import peers
from pt4al_backend.learn.loop import Recipe, Training
from pt4al_backend.learn.minibatches import Minibatch
from pt4al_backend.learn.objective import Trainable
from tests.support.objectives import Points


class Plain(Trainable):
    """Learns to add; no noise, no BatchNorm, and not in half precision."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))

    def loss(self, minibatch: Minibatch, rng: np.random.Generator) -> Tensor:
        points, sums = minibatch
        with torch.autocast("cpu", enabled=False):
            result: Tensor = (self.model(points) - sums).square().mean()
        return result


def train(file: Path, images: int) -> None:
    """Trains, and the first peer writes each one's weights. Of 39 images, parts of 8 are not cut in equal halves."""
    plain = Plain()
    recipe = Recipe(epochs=4, minibatch_size=8, learning_rate=0.05)
    loss = Training(plain, Points(images), recipe, device=torch.device("cpu")).run()
    found = peers.gathered([*plain.model.state_dict().values(), torch.tensor(loss)])
    if peers.number() == 0:
        torch.save(found, file)


if __name__ == "__main__":
    peers.join()
    train(Path(sys.argv[1]), int(sys.argv[2]))
    peers.wait()
    peers.leave()
