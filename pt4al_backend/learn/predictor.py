"""A saved model, loaded to answer for single images: what the web process answers /predict with."""

from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from pt4al_backend.images.frames import Shape
from pt4al_backend.learn.augmentation import Centre
from pt4al_backend.learn.devices import autocast
from pt4al_backend.learn.labels.base import Answer
from pt4al_backend.learn.saved import load_model
from pt4al_backend.learn.tasks.base import MainTask

#: Images of one forward pass at most; more would only hold memory.
_MINIBATCH = 32


class Predictor:
    """A model of the main task named ``task``.

    ``stored`` is the shape of the frames that it takes, ``shape`` that of their centre, which the model predicts from.
    """

    def __init__(self, task: MainTask, shape: Shape, stored: Shape, device: torch.device) -> None:
        self._task, self._device = task, device
        self._centre = Centre(shape)
        self._minibatch = min(_MINIBATCH, task.minibatch_limit(device))
        self.task = task.name
        self.classes = list(task.classes)
        self.shape = shape
        self.stored = stored
        task.model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Self:
        """Loads the artefact of a training.

        Raises:
            StoreCorrupt: it is damaged, or holds no model.
        """
        saved = load_model(folder)
        return cls(saved.task, saved.shape, saved.stored, torch.device(device))

    def predict(self, frames: NDArray[np.uint8]) -> tuple[list[Answer], NDArray[np.float64]]:
        """Answers to stored frames uint8 [n, *stored, 3], and least confidences float64 [n].

        An answer is the name of a class, a set of classes, or a mask of shape ``shape`` with its classes' scores.

        Raises:
            TrainingImpossible: the model has diverged.
        """
        answers: list[Answer] = []
        confidences = [np.empty(0)]
        for start in range(0, len(frames), self._minibatch):
            images = np.ascontiguousarray(self._centre(frames[start : start + self._minibatch]))
            tensor = torch.from_numpy(images).permute(0, 3, 1, 2).to(self._device)
            with torch.inference_mode(), autocast(self._device):
                rows = tuple(part.cpu().numpy() for part in self._task.predict(tensor))
            found, part = self._task.interpret(rows)
            answers += part
            confidences.append(found["least_confidence"])
        return answers, np.concatenate(confidences)
