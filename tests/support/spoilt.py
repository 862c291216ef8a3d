"""Trainings whose last epoch is useless, to tell whether they end with their best one."""

import torch
from torch import nn

from pt4al_backend.learn.best_epoch import BestEpoch
from pt4al_backend.learn.labels.base import Targets
from pt4al_backend.learn.minibatches import Data
from pt4al_backend.learn.objective import Trainable
from pt4al_backend.learn.tasks.base import MainTask


def spoilt(epochs: int) -> type[BestEpoch]:
    """A choice of the best epoch under which all that is trained forgets what it has learned once the last is measured."""

    class Spoilt(BestEpoch):
        def __init__(self, task: MainTask, trained: Trainable, images: Data, targets: Targets, device: torch.device) -> None:
            super().__init__(task, trained, images, targets, device)
            self.model, self.epochs = trained.model, 0

        def __call__(self) -> None:
            super().__call__()
            self.epochs += 1
            if self.epochs == epochs:
                for each in self.model.parameters():
                    nn.init.zeros_(each)

    return Spoilt
