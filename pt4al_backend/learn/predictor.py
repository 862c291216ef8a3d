"""A saved model, loaded to answer for single images: what /predict asks of the web process."""

from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from pt4al_backend.images.frames import Shape
from pt4al_backend.learn.augmentation import Centre
from pt4al_backend.learn.devices import autocast
from pt4al_backend.learn.initial_weights import load_model
from pt4al_backend.learn.tasks.base import Answer, MainTask

#: Images of one forward pass at most; more would only hold memory.
_TOGETHER = 32


class Predictor:
    """A model of the main task named ``task``. ``shape`` is what it sees, ``stored`` what it is given."""

    def __init__(self, task: MainTask, shape: Shape, stored: Shape, device: torch.device) -> None:
        self._task, self._device = task, device
        self._centre = Centre(shape)
        self._together = min(_TOGETHER, task.together(device))
        self.task = task.name
        self.classes = list(task.classes)
        self.shape = shape
        self.stored = stored
        task.model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Self:
        """Loads the artefact that a training left.

        Raises:
            StoreCorrupt: it is damaged, or no model.
        """
        task, manifest = load_model(folder)
        return cls(task, tuple(manifest["shape"]), tuple(manifest["stored"]), torch.device(device))

    def predict(self, frames: NDArray[np.uint8]) -> tuple[list[Answer], NDArray[np.float64]]:
        """Answers to stored frames uint8 [n, *stored, 3], and least confidences float64 [n].

        An answer is the name of a class, or a mask at the size of the frame with its classes' scores.
        """
        said: list[Answer] = []
        confidences = [np.empty(0)]
        for start in range(0, len(frames), self._together):
            images = np.ascontiguousarray(self._centre(frames[start : start + self._together]))
            tensor = torch.from_numpy(images).permute(0, 3, 1, 2).to(self._device)
            with torch.inference_mode(), autocast(self._device):
                rows = tuple(part.cpu().numpy() for part in self._task.look(tensor))
            sure, answers = self._task.say(rows)
            said += answers
            confidences.append(sure["least_confidence"])
        return said, np.concatenate(confidences)
