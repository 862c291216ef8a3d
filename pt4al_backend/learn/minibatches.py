"""Minibatches: read ahead by one, shared out to the peers of a job, halved when memory runs out.

Training and inference share ``stream``. Nothing here grows with the pool in the memory of the host: two minibatches are in it
at a time.
"""

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.learn import peers
from pt4al_backend.learn.devices import is_out_of_memory

#: uint8 images [m, 3, H, W] first, then whatever the loss compares the model's outputs with.
Minibatch = tuple[Tensor, ...]
Cut = Callable[[NDArray[np.int64], int], list[NDArray[np.int64]]]


class Data(Protocol):
    """What minibatches are drawn from."""

    def __len__(self) -> int: ...

    def minibatch(self, positions: NDArray[np.int64], rng: np.random.Generator) -> Minibatch:
        """Reads the images at ``positions`` (0..len-1), prepared for the model; called from a background thread."""


def cut_evenly(order: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Parts of at most ``size`` and about equal length (3 with size 2 and odd n), none with one element for a peer.

    BatchNorm needs two.
    """
    parts = max(1, min(-(-len(order) // size), len(order) // (2 * peers.count())))
    return np.array_split(order, parts)


def cut_exactly(order: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Parts of ``size``, the last one shorter."""
    return [order[start : start + size] for start in range(0, len(order), size)]


def _read_ahead(
    data: Data, parts: list[NDArray[np.int64]], seeds: tuple[int, ...], done: int
) -> Generator[tuple[NDArray[np.int64], Minibatch, np.random.Generator]]:
    """Each part's minibatch and its own random numbers; the next one is read in a thread while the caller works.

    Of several peers each reads its share, of which it has its own random numbers.
    """
    own = (peers.number(),) if peers.count() > 1 else ()

    def read(part: NDArray[np.int64], offset: int) -> tuple[NDArray[np.int64], Minibatch, np.random.Generator]:
        rng = np.random.default_rng([*seeds, offset, *own])
        share = peers.share_of(part)
        return part, data.minibatch(share if len(share) else part[:1], rng), rng

    offsets = done + np.cumsum([0, *map(len, parts)])
    with ThreadPoolExecutor(1, "minibatches") as thread:
        ahead = thread.submit(read, parts[0], int(offsets[0]))
        for part, offset in zip(parts[1:], offsets[1:].tolist(), strict=False):
            this, ahead = ahead, thread.submit(read, part, offset)
            yield this.result()
        yield ahead.result()


def halve(size: int, error: RuntimeError | MemoryError) -> int:
    """Half of the minibatch size, two at least, after an ``error`` that means that memory ran out.

    Raises:
        TrainingImpossible: there were two images already, or several peers share the job.
        RuntimeError: the error itself, if it means something else.
    """
    if not is_out_of_memory(error):
        raise error
    if peers.count() > 1:  # the others would not know of it
        raise TrainingImpossible(
            f"Out of memory with minibatches of {size} images for {peers.count()} processes.", "Set a smaller minibatch_size."
        ) from error
    if size <= 2:
        raise TrainingImpossible(
            "Out of memory even with two images per step.", "Set a smaller image_size or width, or use a larger machine."
        ) from error
    return max(2, size // 2)


def stream(
    data: Data,
    order: NDArray[np.int64],
    size: int,
    *,
    cut: Cut,
    seeds: tuple[int, ...],
    step: Callable[[NDArray[np.int64], Minibatch, np.random.Generator, int], None],
    retreat: Callable[[int], None],
) -> int:
    """Calls ``step(part, minibatch, rng, done)`` along ``order``; returns the minibatch size that it ended with.

    Where several peers share the job, a part is that of all of them, and the minibatch this one's share of it, or one image that
    does not count where there is none for it.

    When memory runs out the size is halved, ``retreat(size)`` is called, and the step that failed is repeated on smaller parts;
    what was done stays done. Random numbers depend on ``seeds`` and on the number of images done before, so that a minibatch is
    the same whenever it is read.

    Args:
        data: what minibatches are drawn from.
        order: int64 [n], positions in ``data``.
        size: images in a minibatch, at first.
        cut: cuts an order into minibatches of a size.
        seeds: of the random numbers, beside the place in the order.
        step: the work on one minibatch; ``done`` images came before it.
        retreat: gets the new size.

    Raises:
        TrainingImpossible: memory runs out with two images as well.
    """
    done = 0
    while done < len(order):
        try:
            with closing(_read_ahead(data, cut(order[done:], size), seeds, done)) as minibatches:
                for part, minibatch, rng in minibatches:
                    step(part, minibatch, rng, done)
                    done += len(part)
        except (RuntimeError, MemoryError) as error:
            size = halve(size, error)
            retreat(size)
        if torch.cuda.is_available() and done < len(order):  # out of memory: the error held the tensors until here
            torch.cuda.empty_cache()
    return size
