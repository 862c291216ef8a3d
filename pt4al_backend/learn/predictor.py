"""A saved model, loaded to answer for single images: what the web process answers /predict with."""

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pt4al_backend.images.frames import Shape
from pt4al_backend.learn.augmentation import Centre
from pt4al_backend.learn.devices import autocast
from pt4al_backend.learn.labels.base import Answer
from pt4al_backend.learn.saved import SavedModel, load_model
from pt4al_backend.learn.tasks.base import MainTask
from pt4al_backend.learn.tasks.whole_image import WholeImage

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
        return cls.of(load_model(folder), device)

    @classmethod
    def of(cls, saved: SavedModel, device: str = "cpu") -> Self:
        """A model that is loaded already."""
        return cls(saved.task, saved.shape, saved.stored, torch.device(device))

    def predict(self, frames: NDArray[np.uint8]) -> tuple[list[Answer], NDArray[np.float64]]:
        """Answers to stored frames uint8 [n, *stored, 3], and least confidences float64 [n].

        An answer is the name of a class, a set of classes, or a mask of shape ``shape`` with its classes' scores.

        Raises:
            TrainingImpossible: the model has diverged.
        """
        answers: list[Answer] = []
        confidences = [np.empty(0)]
        for images in self._minibatches(frames):
            with torch.inference_mode(), autocast(self._device):
                rows = tuple(part.cpu().numpy() for part in self._task.predict(images))
            found, part = self._task.interpret(rows)
            answers += part
            confidences.append(found["least_confidence"])
        return answers, np.concatenate(confidences)

    def features(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What a model that labels whole images answers from: pooled features float32 [n, d] of stored frames [n, *stored, 3]."""
        model = self._whole_image().model
        with torch.inference_mode():
            parts = [model.features(images).float().cpu().numpy() for images in self._minibatches(frames)]
        return np.concatenate(parts) if parts else np.empty((0, model.body.features), np.float32)

    def answers(self, features: NDArray[np.float32]) -> list[Answer]:
        """Answers to ``features`` float32 [n, d], which may be those of another model on the same encoder.

        Raises:
            TrainingImpossible: the model has diverged.
        """
        task = self._whole_image()
        with torch.inference_mode():
            rows = task.predict_from(torch.from_numpy(features).to(self._device)).cpu().numpy()
        return task.interpret((rows,))[1]

    def _whole_image(self) -> WholeImage:
        if not isinstance(self._task, WholeImage):
            raise TypeError(f"{type(self._task).__name__} does not answer from pooled features")
        return self._task

    def _minibatches(self, frames: NDArray[np.uint8]) -> Iterator[Tensor]:
        """The centres of frames [n, *stored, 3] as [m, 3, H, W], on the device."""
        for start in range(0, len(frames), self._minibatch):
            images = np.ascontiguousarray(self._centre(frames[start : start + self._minibatch]))
            yield torch.from_numpy(images).permute(0, 3, 1, 2).to(self._device)
