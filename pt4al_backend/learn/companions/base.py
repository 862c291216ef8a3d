"""What a companion is: something that learns together with the main task's model, and says which candidates to ask."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pt4al_backend.config import ProjectSettings
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.images.frames import Shape
from pt4al_backend.learn.loop import Look, Recipe, Report, Trainable, infer
from pt4al_backend.learn.minibatches import Data
from pt4al_backend.learn.tasks.base import MainTask


@dataclass(frozen=True, eq=False)
class CompanionInput:
    """What a companion is given once the main task is trained.

    Attributes:
        labelled: the images that trained it, as a model looks at them.
        candidates: the images to give confidences for, likewise.
        lesson: the same images as ``labelled``, with targets, as training drew them.
        recipe: how the main task was trained.
        k: how many candidates are going to be asked.
        shape: of the images.
        device: where to compute.
        settings: the project's.
        report: told of progress.
    """

    labelled: Data
    candidates: Data
    training_data: Data
    recipe: Recipe
    k: int
    shape: Shape
    device: torch.device
    settings: ProjectSettings
    report: Report

    def of_candidates(self, model: nn.Module, look: Look, size: int) -> NDArray[np.float64]:
        """What ``look`` gives of the candidates, float64 tensors of one or two dimensions, ``size`` images at a time.

        Raises:
            TrainingImpossible: numbers that are not finite: what was learned has diverged.
        """
        parts: list[NDArray[np.float64]] = []

        def take(_: NDArray[np.int64], rows: tuple[NDArray[np.float64], ...]) -> None:
            parts.append(rows[0])

        infer(model, look, self.candidates, size, take, device=self.device, report=self.report)
        found = np.concatenate(parts) if parts else np.empty((0, 0))
        if not np.isfinite(found).all():
            raise TrainingImpossible(
                f"The strategy {self.settings.strategy!r} found numbers that are not finite.",
                "Set learning_rate in the extra params to less, or strategy to another.",
            )
        return found


class Companion:
    """Base of the companions, and what a strategy has that needs none.

    All that is random in it hangs on the settings' seed, with which the job seeds torch's global generator before it makes
    the companion, and again before it asks for confidences. What it learns is not kept: a training that is cut short while
    a companion learns begins that part anew.
    """

    def __init__(self, task: MainTask) -> None:
        self.task = task

    def beside(self) -> Trainable:
        """What is trained in the main task's place: itself, or together with a module of the companion's."""
        return self.task

    def confidences(self, asked: CompanionInput) -> NDArray[np.float64]:
        """Confidences float64 [m] in [0, 1] of the candidates, one at least, in their order; the lowest are asked first.

        Raises:
            TrainingImpossible: what it learns has diverged.
        """
        raise NotImplementedError


def by_place(order: NDArray[np.int64]) -> NDArray[np.float64]:
    """Confidences that put candidates into an ``order`` of indices, best first: the place over their number."""
    confidences = np.empty(len(order))
    confidences[order] = np.arange(len(order)) / max(len(order), 1)
    return confidences
