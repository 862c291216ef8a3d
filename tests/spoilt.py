"""Trainings whose last epoch is useless, to tell whether they end with their best one."""

import torch
from torch import nn

from pt4al_backend.minibatches import Data, Targets
from pt4al_backend.selection import BestEpoch
from pt4al_backend.tasks.base import Task
from pt4al_backend.training import Trainable


def spoilt(epochs: int) -> type[BestEpoch]:
    """A choice of the best epoch under which all that is trained forgets what it has learned once the last is measured."""

    class Spoilt(BestEpoch):
        def __init__(self, task: Task, trained: Trainable, images: Data, truths: Targets, device: torch.device) -> None:
            super().__init__(task, trained, images, truths, device)
            self.model, self.epochs = trained.model, 0

        def __call__(self) -> None:
            super().__call__()
            self.epochs += 1
            if self.epochs == epochs:
                for each in self.model.parameters():
                    nn.init.zeros_(each)

    return Spoilt
