"""Peers: processes that share one job, as torchrun starts them. Without it there is one.

All do the same work in step: each takes its share of every minibatch, and they exchange gradients and what a pass over images
gave. What a job leaves is what the first one wrote. Torch calls the number of a peer its rank.
"""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")
Loss = Callable[..., Tensor]

#: For what one peer does while the others wait: training is not among it, and torchrun ends them all if one ends.
PATIENCE = timedelta(days=7)


def join() -> None:
    """Joins the other processes that torchrun has started; does nothing without it. Call it once."""
    if distributed.is_torchelastic_launched() and int(os.environ["WORLD_SIZE"]) > 1:
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)


def leave() -> None:
    """Leaves the others, once all have done their work: a process that ends with open connections may abort as another ends."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


class _Work:
    """Whether this process is working alone for the moment (see ``by_first``)."""

    is_alone = False


def count() -> int:
    """How many processes share what this one is doing: the job, or one part of it."""
    return distributed.get_world_size() if distributed.is_initialized() and not _Work.is_alone else 1


def number() -> int:
    """This one's number among them, from 0."""
    return distributed.get_rank() if count() > 1 else 0


def share_of(positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """This peer's positions of a minibatch. Those of all, by their numbers, are the minibatch's in their order."""
    return positions if count() == 1 else np.array_split(positions, count())[number()]


def wait() -> None:
    """Returns once all have come here."""
    if count() > 1:
        distributed.barrier()


def agreed(value: T) -> T:
    """The value that the first one has."""
    if count() == 1:
        return value
    values: list[T] = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


def by_first(model: nn.Module, work: Callable[[], None]) -> None:
    """Lets the first one alone do what cannot be shared, such as a training on few images; all get the weights that it found."""
    if number() == 0:
        is_alone, _Work.is_alone = _Work.is_alone, True
        try:
            work()
        finally:
            _Work.is_alone = is_alone
    if count() > 1:
        model.load_state_dict(agreed({name: weights.cpu() for name, weights in model.state_dict().items()}))


def gathered(value: T) -> list[T]:
    """The values of all, by their numbers."""
    if count() == 1:
        return [value]
    values: list[T] = [value] * count()
    distributed.all_gather_object(values, value)
    return values


def total(value: Tensor) -> Tensor:
    """The sum of a tensor over all."""
    if count() > 1:
        value = value.clone()
        distributed.all_reduce(value)
    return value


class _Losses(nn.Module):
    """A loss as a module that holds its model: DistributedDataParallel averages the gradients of modules that are called."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model = model
        self._loss = loss

    def forward(self, *given: object) -> Tensor:
        """The loss of this process's share."""
        return self._loss(*given)


def averaged(model: nn.Module, loss: Loss) -> Loss:
    """The loss, of which ``backward`` leaves the gradients' mean over all peers.

    BatchNorm standardises each share by itself; its running statistics are the first one's.
    """
    if count() == 1:
        return loss
    shared: Loss = DistributedDataParallel(_Losses(model, loss), find_unused_parameters=True)
    return shared
