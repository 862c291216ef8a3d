"""The training loop that pretext learner, main task and companions share.

All randomness depends on (seed, epoch, images done), so a training that was killed and is resumed from its checkpoint draws what
it would have drawn. Peers (see ``peers``) train one model in step, but the first one alone where there are too few images
for all. The loop asks the device for a number once an epoch, and nowhere else. ``torch.compile`` is not used: it does not pay on
a CPU (docs/numbers.md), and it was not tried on a GPU, nor were CUDA graphs.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.learn import peers
from pt4al_backend.learn.checkpoint import Checkpoint, TrainingState
from pt4al_backend.learn.devices import autocast
from pt4al_backend.learn.minibatches import Data, Minibatch, cut_evenly, stream
from pt4al_backend.learn.networks import Body
from pt4al_backend.learn.objective import Trainable
from pt4al_backend.learn.placement import placed
from pt4al_backend.learn.sgd import SGD
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress, Report, silent

ScheduleName = Literal["cosine", "step"]

#: Learning rate over a training as a factor of the highest; the argument is the part of the training done, 0..1.
SCHEDULES: dict[ScheduleName, Callable[[float], float]] = {
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "step": lambda done: 1.0 if done < 0.8 else 0.1,  # PT4AL's: x 0.1 at epoch 160 of 200
}

#: Steps of SGD that a training takes at least, where the number of epochs is ours to choose.
LEAST_STEPS = 200


def limit_minibatch(minibatch_size: int, images: int) -> int:
    """The minibatch size for few images: at least four steps an epoch, down to 8 images a step."""
    return min(minibatch_size, max(8, images // 4))


def extend_epochs(epochs: int, images: int, minibatch_size: int) -> int:
    """``epochs``, or as many more as make up the least number of steps."""
    return max(epochs, math.ceil(LEAST_STEPS / math.ceil(images / minibatch_size)))


@dataclass(frozen=True)
class Recipe:
    """How an objective is trained: SGD with Nesterov momentum (the official code has plain momentum).

    ``warmup`` is the part of the training, 0..1, in which the learning rate climbs. ``layer_decay`` is what each level of a body
    (``Body.levels``) learns at, of the learning rate of the level above it.
    """

    epochs: int
    minibatch_size: int
    learning_rate: float
    schedule: ScheduleName = "cosine"
    warmup: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    layer_decay: float = 1.0

    def rate(self, done: float) -> float:
        """The learning rate when the part ``done`` (0..1) of the training is done."""
        climb = min(1.0, done / self.warmup) if self.warmup else 1.0
        return self.learning_rate * climb * SCHEDULES[self.schedule](done)


def by_rate(model: nn.Module, layer_decay: float) -> Mapping[float, list[nn.Parameter]]:
    """The weights that are learned, by their share of the rate: 1 above a body, in it ``layer_decay`` of the level above."""
    shares = dict.fromkeys(model.parameters(), 1.0)
    for body in (module for module in model.modules() if isinstance(module, Body)):
        for below, level in enumerate(reversed(body.levels()), 1):
            shares.update(dict.fromkeys(level, layer_decay**below))
    groups: dict[float, list[nn.Parameter]] = defaultdict(list)
    for parameter, share in shares.items():
        if parameter.requires_grad:
            groups[share].append(parameter)
    return groups


class Training:
    """One objective's training.

    Args:
        objective: what is learned; its model ends with the last epoch's weights.
        data: what it learns from, two images or more.
        recipe: how.
        device: where.
        seed: of the order and the augmentation; the initial weights are the caller's.
        phase: what progress is reported as.
        report: gets every minibatch's progress, and notes for the user.
        checkpoint: saved after each epoch and resumed from; None trains in one go.
        after_epoch: called when an epoch is done, with the model as it then is.

    Attributes:
        earlier: seconds that other processes trained before the checkpoint that ``run`` resumed.

    Raises:
        TrainingImpossible: fewer than two images.
    """

    def __init__(
        self,
        objective: Trainable,
        data: Data,
        recipe: Recipe,
        *,
        device: torch.device,
        seed: int = 0,
        phase: Phase = Phase.TRAINING,
        report: Report = silent,
        checkpoint: Checkpoint | None = None,
        after_epoch: Callable[[], None] = lambda: None,
    ) -> None:
        if len(data) < 2:
            raise TrainingImpossible(f"Training needs two images or more, there is {len(data)}.", "Import more images.")
        self._objective, self._recipe, self._device = objective, recipe, device
        self._data = placed(data, device, recipe.epochs)
        self._seed, self._phase, self._report, self._checkpoint = seed, phase, report, checkpoint
        self._after_epoch = after_epoch
        self.earlier, self._began = 0.0, time.monotonic()
        self._model = objective.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._is_shared = len(data) >= 2 * peers.count()  # each peer needs two
        self._loss_of = peers.averaged(self._model, objective.loss) if self._is_shared else objective.loss
        groups = by_rate(self._model, recipe.layer_decay)
        self._shares = list(groups)
        self._optimizer = SGD(
            [{"params": parameters} for parameters in groups.values()],
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
            TrainingImpossible: the loss is no longer finite, or memory runs out with two images as well.
            OSError: the checkpoint cannot be written.
        """
        if self._is_shared:
            return self._train()
        losses = [math.nan]
        peers.by_first(self._model, lambda: losses.append(self._train()))
        return peers.agreed(losses[-1])

    def _train(self) -> float:
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
            if self._checkpoint is not None and peers.number() == 0:
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
        return float(peers.total(self._loss)) / len(order)  # one transfer an epoch: asking for each step's loss would stall a GPU

    def _step(self, part: NDArray[np.int64], minibatch: Minibatch, rng: np.random.Generator, done: int) -> None:
        middle = (self._epoch + (done + len(part) / 2) / len(self._data)) / self._recipe.epochs
        self._objective.done = middle
        for group, share in zip(self._optimizer.param_groups, self._shares, strict=True):
            group["lr"] = share * self._recipe.rate(middle)
        self._optimizer.zero_grad()
        with autocast(self._device):
            loss = self._loss_of(minibatch, rng)
        share = len(peers.share_of(part))
        # a mean over the peers is to be one over the images
        (loss * (share * peers.count() / len(part))).backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._loss += loss.detach() * share
        self._report_progress(done + len(part))

    def _retreat(self, size: int) -> None:
        self._report_progress(0, f"Memory ran out: continuing with minibatches of {size} images.")

    def _report_progress(self, done: int, note: str = "") -> None:
        epochs = self._recipe.epochs
        self._report(Progress(self._phase, min(self._epoch + 1, epochs), epochs, done, len(self._data), note))

    def _state(self) -> TrainingState:
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
            self._report_progress(0, f"Starting from the first epoch: {error}.")
            state = None
        peers.wait()  # all have read it before the first epoch replaces it
        if state is not None:
            self._model.load_state_dict(state["model"])
            self._optimizer.load_state_dict(state["optimizer"])
            self._epoch, self._size, self.earlier = state["epoch"], state["size"], state["seconds"]
            self._report_progress(0, f"Resuming after epoch {self._epoch} of {self._recipe.epochs}.")
