"""What a main task learns from frames, and what it then says of others; on the CPU, without a job."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.frames import Shape
from pt4al_backend.learn.augmentation import Centre
from pt4al_backend.learn.inference import infer
from pt4al_backend.learn.labels.base import Targets
from pt4al_backend.learn.loop import Training
from pt4al_backend.learn.stored_images import StoredImages
from pt4al_backend.learn.tasks.base import MainTask

CPU = torch.device("cpu")


def train(task: MainTask, pixels: FrameFile, rows: NDArray[np.int64], targets: Targets) -> None:
    """Trains the task on frames by its own recipe."""
    Training(task, task.training_data(pixels, rows, targets), task.recipe(len(rows), CPU, fresh=True), device=CPU).run()


def predictions(task: MainTask, pixels: FrameFile, rows: NDArray[np.int64], shape: Shape, size: int = 32) -> Any:
    """What the task predicts of frames, in minibatches of a size: arrays that its ``interpret`` takes."""
    parts: list[tuple[NDArray[Any], ...]] = []
    images = StoredImages(pixels, rows, Centre(shape))
    infer(task.model, task.predict, images, size, lambda _, predicted: parts.append(predicted), device=CPU)
    return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))
