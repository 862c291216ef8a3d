"""The best epoch's weights, for the benchmark alone: best on the very images that measure the model.

PT4AL's published code reports and queries with the checkpoint that is best on the test set, tested after every epoch. That
flatters each figure by the luck of the choice. The live engine never does it: a round ends with its last epoch.
"""

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pt4al_backend.learn import peers
from pt4al_backend.learn.inference import infer
from pt4al_backend.learn.labels.base import Targets
from pt4al_backend.learn.minibatches import Data
from pt4al_backend.learn.objective import Trainable
from pt4al_backend.learn.tasks.base import MainTask


class BestEpoch:
    """Called after each epoch, measures the task's model on labelled images and keeps the weights that did best.

    Args:
        task: whose model is measured.
        trained: what is trained, the task or the task with a companion's module: all of it is kept.
        images, targets: what it is measured on.
        device: where.
    """

    def __init__(self, task: MainTask, trained: Trainable, images: Data, targets: Targets, device: torch.device) -> None:
        self._task, self._model, self._images, self._targets, self._device = task, trained.model, images, targets, device
        self._best, self._weights = -np.inf, copy.deepcopy(self._model.state_dict())

    def __call__(self) -> None:
        tallies = [self._task.tally([], self._targets[np.empty(0, np.int64)])]

        def collect(positions: NDArray[np.int64], rows: tuple[NDArray[Any], ...]) -> None:
            _, answers = self._task.interpret(rows)
            tallies.append(self._task.tally(answers, self._targets[positions]))

        infer(
            self._task.model,
            self._task.predict,
            self._images,
            self._task.minibatch_limit(self._device),
            collect,
            device=self._device,
        )
        value = self._task.metrics(np.concatenate(tallies))["value"]
        if value is not None and value > self._best:
            self._best, self._weights = value, copy.deepcopy(self._model.state_dict())

    def restore(self) -> None:
        """Gives what is trained the weights of its best epoch."""
        self._model.load_state_dict(peers.agreed(self._weights))
