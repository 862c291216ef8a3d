"""The loop that pretext learner and main task share: training, inference, checkpoints.

A ``Trainable`` holds a model and says what its loss is, an ``Objective`` what its scores are as well; everything else is
here and asks no questions about the kind. All randomness hangs on (seed, epoch, images done), so a training that was
killed and goes on from its checkpoint draws what it would have drawn.

A training asks the device for a number once an epoch, and nowhere else. ``torch.compile`` does not pay on a CPU:
14 to 45 s for the first step, then 95 to 98 % of the time, within the noise (median of 25 steps; ResNet-18 of width 16, 25 to
128 images of 16 or 32 pixels, one busy core of an EPYC). It was not tried on a GPU, nor were CUDA graphs, for want of one.
"""

import io
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pt4al_backend import artefacts
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.images.frames import Shape
from pt4al_backend.learn.devices import autocast
from pt4al_backend.learn.minibatches import Data, Minibatch, cut_evenly, cut_exactly, near, stream

#: Learning rate over a training as a factor of the highest; the argument is the part of the training done, 0..1.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "step": lambda done: 1.0 if done < 0.8 else 0.1,  # the paper's: x 0.1 at epoch 160 of 200
}

#: Part of the wall clock that checkpoints may take: an epoch over few labels passes faster than a disk flushes.
CHECKPOINT_SHARE = 0.05

#: Steps of SGD that a training takes at least, where the number of epochs is ours to choose.
LEAST_STEPS = 200


def few_images(minibatch_size: int, images: int) -> int:
    """The minibatch size for few images: at least four steps an epoch, down to 8 images a step."""
    return min(minibatch_size, max(8, images // 4))


def enough_epochs(epochs: int, images: int, minibatch_size: int) -> int:
    """``epochs``, or as many more as make up the least number of steps."""
    return max(epochs, math.ceil(LEAST_STEPS / math.ceil(images / minibatch_size)))


@dataclass(frozen=True)
class Recipe:
    """How an objective is trained: SGD with Nesterov momentum (the official code has plain momentum).

    ``warmup`` is the part of the training, 0..1, in which the rate climbs.
    """

    epochs: int
    minibatch_size: int
    learning_rate: float
    schedule: str = "cosine"
    warmup: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 5e-4

    def rate(self, done: float) -> float:
        """The learning rate when the part ``done`` (0..1) of the training is done."""
        climb = min(1.0, done / self.warmup) if self.warmup else 1.0
        return self.learning_rate * climb * SCHEDULES[self.schedule](done)


@dataclass(frozen=True)
class Progress:
    """Where a piece of work stands: ``done`` of ``total`` images of epoch ``epoch`` of ``epochs``; ``note`` for the user."""

    phase: str
    epoch: int
    epochs: int
    done: int
    total: int
    note: str = ""


Report = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Reports to nobody."""


class Trainable(ABC):
    """What is learned: a model, and the loss of a minibatch."""

    model: nn.Module
    done: float = 0.0  #: part of the training that is done, 0..1, for a loss that changes on the way

    @abstractmethod
    def loss(self, minibatch: Minibatch, rng: np.random.Generator) -> Tensor:
        """The scalar that training lowers; augments on the device where the objective does."""


class Objective(Trainable):
    """Something learned whose model gives every image a row of scores."""

    views: int = 1  #: forward passes that one image takes
    outputs: int  #: columns of ``scores``

    @abstractmethod
    def scores(self, images: Tensor) -> Tensor:
        """What is kept of each image: [m, 3, H, W] -> float32 or float64 [m, outputs], in evaluation mode, nothing random."""


def archive(state: dict[str, Any]) -> memoryview:
    """PyTorch's archive of ``state``, in memory: writing it then fails as files do, with an OSError that says why."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getbuffer()


class Checkpoint:
    """One training's state on disk, replaced atomically.

    Args:
        path: the file.
        fingerprint: of the work that the state belongs to.
        share: largest part of the wall clock that saving may take.
    """

    def __init__(self, path: Path, fingerprint: str, share: float = CHECKPOINT_SHARE) -> None:
        self._path, self._fingerprint, self._share = path, fingerprint, share
        self._saved, self._took = -math.inf, 0.0

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The state saved last. None if there is none.

        Raises:
            ValueError: unreadable, or of another piece of work.
        """
        artefacts.remove_leftovers(self._path)
        if not self._path.exists():
            return None
        try:
            state = torch.load(self._path, map_location=device, weights_only=True)
        except Exception as error:  # a damaged archive surfaces as any of a dozen types
            raise ValueError(f"the checkpoint cannot be read ({type(error).__name__})") from error
        if not isinstance(state, dict) or state.get("fingerprint") != self._fingerprint:
            raise ValueError("the checkpoint belongs to other data or settings")
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Writes ``state``, unless checkpoints have taken more than their share of the time lately."""
        start = time.monotonic()
        if start - self._saved < self._took / self._share:
            return
        artefacts.atomic_write(self._path, archive({"fingerprint": self._fingerprint, **state}))
        self._saved = time.monotonic()
        self._took = self._saved - start


class Training:
    """One objective's training.

    Args:
        objective: what is learned; its model ends with the last epoch's weights.
        data: what it learns from.
        recipe: how.
        device: where.
        seed: of the order and the augmentation; the initial weights are the caller's.
        phase: what progress is reported as.
        report: told of every minibatch, and of what the user should know.
        checkpoint: saved after each epoch and resumed from; None trains in one go.
        after_epoch: called when an epoch is done, with the model as it then is.

    Attributes:
        earlier: seconds that it took up to the checkpoint that ``run`` went on from.
    """

    def __init__(
        self,
        objective: Trainable,
        data: Data,
        recipe: Recipe,
        *,
        device: torch.device,
        seed: int = 0,
        phase: str = "training",
        report: Report = silent,
        checkpoint: Checkpoint | None = None,
        after_epoch: Callable[[], None] = lambda: None,
    ) -> None:
        if len(data) < 2:
            raise TrainingImpossible(f"Training needs two images or more, there is {len(data)}.", "Import more images.")
        self._objective, self._recipe, self._device = objective, recipe, device
        self._data = near(data, device, recipe.epochs)
        self._seed, self._phase, self._report, self._checkpoint = seed, phase, report, checkpoint
        self._after_epoch = after_epoch
        self.earlier, self._began = 0.0, time.monotonic()
        self._model = objective.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimizer = torch.optim.SGD(
            self._model.parameters(),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=True,
            fused=True,
        )
        self._epoch = 0
        self._size = recipe.minibatch_size
        self._loss = torch.zeros((), device=device)

    def run(self) -> float:
        """Trains to the end; returns the mean loss of the last epoch run, nan if the checkpoint was at the end.

        Raises:
            TrainingImpossible: the loss is no longer finite, or memory is too short.
        """
        self._resume()
        loss = math.nan
        while self._epoch < self._recipe.epochs:
            self._model.train()
            loss = self._run_epoch()
            if not math.isfinite(loss):
                raise TrainingImpossible(
                    f"The loss became {loss} in epoch {self._epoch + 1} of {self._recipe.epochs}.",
                    f"Set learning_rate in the extra params to less than {self._recipe.learning_rate:g}.",
                )
            self._epoch += 1
            if self._checkpoint is not None:
                self._checkpoint.save(self._state())
            self._after_epoch()
        return loss

    def _run_epoch(self) -> float:
        order = np.random.default_rng([self._seed, self._epoch]).permutation(len(self._data))
        self._loss.zero_()
        self._size = stream(
            self._data,
            order,
            self._size,
            cut=cut_evenly,
            seeds=(self._seed, self._epoch),
            step=self._step,
            retreat=self._retreat,
        )
        return float(self._loss) / len(order)  # one transfer an epoch: asking for each step's loss would stall a GPU

    def _step(self, part: NDArray[np.int64], minibatch: Minibatch, rng: np.random.Generator, done: int) -> None:
        middle = (self._epoch + (done + len(part) / 2) / len(self._data)) / self._recipe.epochs
        self._objective.done = middle
        for group in self._optimizer.param_groups:
            group["lr"] = self._recipe.rate(middle)
        self._optimizer.zero_grad()
        with autocast(self._device):
            loss = self._objective.loss(minibatch, rng)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._loss += loss.detach() * len(part)
        self._tell(done + len(part))

    def _retreat(self, size: int) -> None:
        self._tell(0, f"Memory ran out: going on with minibatches of {size} images.")

    def _tell(self, done: int, note: str = "") -> None:
        epochs = self._recipe.epochs
        self._report(Progress(self._phase, min(self._epoch + 1, epochs), epochs, done, len(self._data), note))

    def _state(self) -> dict[str, Any]:
        return {
            "epoch": self._epoch,
            "size": self._size,
            "seconds": self.earlier + time.monotonic() - self._began,
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def _resume(self) -> None:
        if self._checkpoint is None:
            return
        try:
            state = self._checkpoint.load(self._device)
        except ValueError as error:
            self._tell(0, f"Starting from the first epoch: {error}.")
            return
        if state is not None:
            self._model.load_state_dict(state["model"])
            self._optimizer.load_state_dict(state["optimizer"])
            self._epoch, self._size = state["epoch"], state["size"]
            self.earlier = state.get("seconds", 0.0)  # of an older version's there are none
            self._tell(0, f"Going on after epoch {self._epoch} of {self._recipe.epochs}.")


def scoring_size(device: torch.device, shape: Shape, views: int, classes: int = 0) -> int:
    """Images in a minibatch of inference: at most 256 views of 64 pixels on a CPU (more is slower there), 2,048 on a GPU.

    A segmenter says how many ``classes`` each pixel has a logit for. Its minibatches have an eighth of the pixels, as its
    feature maps are larger, and fewer still above 16 classes, as the logits are held several times while they are reduced.
    """
    limit = (2**20 if device.type == "cpu" else 2**26) // (shape[0] * shape[1])
    if classes:
        limit //= 8 * math.ceil(classes / 16)
    return max(2, min(limit, 256 if device.type == "cpu" else 2048) // views)


Look = Callable[[Tensor], tuple[Tensor, ...]]
Take = Callable[[NDArray[np.int64], tuple[NDArray[Any], ...]], None]


def infer(
    model: nn.Module,
    look: Look,
    data: Data,
    minibatch_size: int,
    take: Take,
    *,
    device: torch.device,
    phase: str = "scoring",
    report: Report = silent,
) -> None:
    """Looks at all of ``data``, in its order: ``look`` gives tensors of a row for each image, ``take`` gets them as arrays.

    ``take`` is told the positions that the rows belong to. Every forward pass has ``minibatch_size`` images, the last one
    filled up with black: kernels are chosen by shape, and what is said of an image must not hang on how many others are
    looked at with it.
    """
    model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    size = minibatch_size

    def step(part: NDArray[np.int64], minibatch: Minibatch, _: np.random.Generator, done: int) -> None:
        images = minibatch[0]
        full = torch.zeros((size, *images.shape[1:]), dtype=images.dtype, device=device)
        full[: len(part)] = images
        with torch.inference_mode(), autocast(device):
            rows = tuple(tensor[: len(part)].cpu().numpy() for tensor in look(full))
        take(part, rows)
        report(Progress(phase, 1, 1, done + len(part), len(data)))

    def retreat(smaller: int) -> None:
        nonlocal size
        size = smaller
        report(Progress(phase, 1, 1, 0, len(data), f"Memory ran out: scoring {smaller} images at a time."))

    stream(near(data, device), np.arange(len(data)), size, cut=cut_exactly, seeds=(0,), step=step, retreat=retreat)


def score(
    objective: Objective,
    data: Data,
    minibatch_size: int,
    *,
    device: torch.device,
    phase: str = "scoring",
    report: Report = silent,
) -> NDArray[Any]:
    """The scores of all of ``data``, [n, k], in its order."""
    parts: list[NDArray[Any]] = []

    def take(_: NDArray[np.int64], rows: tuple[NDArray[Any], ...]) -> None:
        parts.append(rows[0])

    infer(
        objective.model,
        lambda images: (objective.scores(images),),
        data,
        minibatch_size,
        take,
        device=device,
        phase=phase,
        report=report,
    )
    return np.concatenate(parts) if parts else np.empty((0, objective.outputs), dtype=np.float64)
