"""Base of the companions: what a strategy trains beside or after the main task's model to choose candidates by."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pt4al_backend.config import ProjectSettings
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.images.frames import Shape
from pt4al_backend.learn.inference import Predict, infer
from pt4al_backend.learn.loop import Recipe
from pt4al_backend.learn.minibatches import Data
from pt4al_backend.learn.objective import Trainable
from pt4al_backend.learn.tasks.base import MainTask
from pt4al_backend.progress import Report


@dataclass(frozen=True, eq=False)
class CompanionInput:
    """What a companion works on once the main task is trained.

    Attributes:
        labelled: the images that trained the main task, prepared as for inference.
        candidates: the images to give confidences for, likewise.
        training_data: the same images as ``labelled``, with targets, as training drew them.
        recipe: how the main task was trained.
        query_size: how many candidates are going to be queried.
        shape: of the images.
        device: where to compute.
        settings: the project's.
        report: gets progress.
    """

    labelled: Data
    candidates: Data
    training_data: Data
    recipe: Recipe
    query_size: int
    shape: Shape
    device: torch.device
    settings: ProjectSettings
    report: Report

    def score_candidates(self, model: nn.Module, predict: Predict, minibatch_size: int) -> NDArray[np.float64]:
        """The first tensor that ``predict`` gives of all candidates, float64 [m] or [m, k].

        Raises:
            TrainingImpossible: some of its numbers are not finite: what was learned has diverged.
        """
        parts: list[NDArray[np.float64]] = []

        def collect(_: NDArray[np.int64], rows: tuple[NDArray[np.float64], ...]) -> None:
            parts.append(rows[0])

        infer(model, predict, self.candidates, minibatch_size, collect, device=self.device, report=self.report)
        found = np.concatenate(parts) if parts else np.empty((0, 0))
        if not np.isfinite(found).all():
            raise TrainingImpossible(
                f"The strategy {self.settings.strategy!r} found numbers that are not finite.",
                "Set learning_rate in the extra params to less, or strategy to another.",
            )
        return found


class Companion:
    """Base of the companions, and what a strategy has that needs none.

    All that is random in it depends on the settings' seed, with which the job seeds torch's global generator before it makes the
    companion, and again before it computes confidences. What it learns is not kept: a training that is cut short while a
    companion learns starts that part again.
    """

    def __init__(self, task: MainTask) -> None:
        self.task = task

    def trainable(self) -> Trainable:
        """What is trained: the main task, or the main task together with a module of the companion's."""
        return self.task

    def confidences(self, inputs: CompanionInput) -> NDArray[np.float64]:
        """Confidences float64 [m] in [0, 1] of one candidate or more, in their order; the lowest are queried first.

        Raises:
            TrainingImpossible: what it learns has diverged.
        """
        raise NotImplementedError


def confidences_by_rank(order: NDArray[np.int64]) -> NDArray[np.float64]:
    """Confidences float64 [m] in [0, 1) that rank candidates by ``order``, int64 [m]: the indices, first to query first."""
    confidences = np.empty(len(order))
    confidences[order] = np.arange(len(order)) / max(len(order), 1)
    return confidences
