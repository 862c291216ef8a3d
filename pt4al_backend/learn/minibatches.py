"""Minibatches of the pool: read ahead by one, halved when memory runs out.

Training and scoring share ``stream``. Nothing here grows with the pool in the memory of the host: two minibatches are in it
at a time. On a GPU, images that are drawn again and again live in a part of its memory (``near``).
"""

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.learn.devices import free_memory, is_out_of_memory

#: uint8 images [m, 3, H, W] first, then whatever the loss compares the model's answer with.
Minibatch = tuple[Tensor, ...]
#: Prepares stored frames and their masks uint8 [m, H, W] alike.
PreparePairs = Callable[[NDArray[np.uint8], NDArray[np.uint8], np.random.Generator], tuple[NDArray[np.uint8], NDArray[np.uint8]]]
Cut = Callable[[NDArray[np.int64], int], list[NDArray[np.int64]]]

#: Part of a GPU's free memory that images may live in; the rest decides how large minibatches can be.
RESIDENT_SHARE = 1 / 8
_MOVED_TOGETHER = 1024  # images on their way there


def cut_evenly(order: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Parts of at most ``size`` and about equal length, none of one element: BatchNorm needs two (3 with size 2 and odd n)."""
    parts = max(1, min(-(-len(order) // size), len(order) // 2))
    return np.array_split(order, parts)


def cut_exactly(order: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Parts of ``size``, the last one shorter."""
    return [order[start : start + size] for start in range(0, len(order), size)]


class Data(Protocol):
    """What a loop draws minibatches from."""

    def __len__(self) -> int: ...

    def minibatch(self, positions: NDArray[np.int64], rng: np.random.Generator) -> Minibatch:
        """Reads the images at ``positions`` (0..len-1), prepared for the model; called from a background thread."""


class Targets(Protocol):
    """What a model's answers are compared with, one for each of some images; a numpy array is one."""

    def __getitem__(self, positions: NDArray[np.int64], /) -> NDArray[Any]: ...


class Prepare(Protocol):
    """What is done to stored frames on the CPU."""

    random: bool  #: whether it draws random numbers

    def __call__(self, frames: NDArray[np.uint8], rng: np.random.Generator, /) -> NDArray[np.uint8]:
        """uint8 [m, *stored, 3] -> uint8 [m, H, W, 3]."""


class Images:
    """Rows of the image store, with targets or without.

    Args:
        pixels: the store.
        rows: int64 [n], the row of each position.
        prepare: what is done to the stored frames on the CPU.
        targets: n of them, or None for images alone.
    """

    def __init__(self, pixels: FrameFile, rows: NDArray[np.int64], prepare: Prepare, targets: Targets | None = None) -> None:
        self._pixels, self._rows, self._prepare = pixels, rows, prepare
        self.targets, self.random = targets, prepare.random

    def __len__(self) -> int:
        return len(self._rows)

    def frames(self, positions: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint8]:
        """The prepared images at ``positions``: uint8 [m, H, W, 3]."""
        return self._prepare(self._pixels.read(self._rows[positions]), rng)

    def minibatch(self, positions: NDArray[np.int64], rng: np.random.Generator) -> Minibatch:
        images = _channels_first(self.frames(positions, rng))
        return (images,) if self.targets is None else (images, torch.from_numpy(self.targets[positions]))


class Resident:
    """Images, not prepared at random, that live on a device with their targets: a minibatch is an index there.

    The thread that reads ahead may draw from it: both threads' work goes, in the order in which they ask for it, to the
    device's one default stream, so that nothing is used before it is drawn, nor its memory filled while it is still used.

    Args:
        images: read here, once.
        device: where they are going to live.
    """

    def __init__(self, images: Images, device: torch.device) -> None:
        rng, every = np.random.default_rng(0), np.arange(len(images))
        self._device = device
        self._frames = torch.empty((len(images), *images.frames(every[:1], rng).shape[1:]), dtype=torch.uint8, device=device)
        for part in cut_exactly(every, _MOVED_TOGETHER):
            self._frames[part[0] : part[-1] + 1] = torch.from_numpy(np.ascontiguousarray(images.frames(part, rng)))
        self._targets = None if images.targets is None else torch.from_numpy(images.targets[every]).to(device)

    def __len__(self) -> int:
        return len(self._frames)

    def minibatch(self, positions: NDArray[np.int64], _: np.random.Generator) -> Minibatch:
        chosen = torch.from_numpy(positions).to(self._device, non_blocking=True)
        images = self._frames[chosen].permute(0, 3, 1, 2)
        return (images,) if self._targets is None else (images, self._targets[chosen])


class Sent:
    """Data that the thread which reads ahead sends to a GPU, through pinned memory: no one waits for the copy."""

    def __init__(self, data: Data, device: torch.device) -> None:
        self._data, self._device = data, device

    def __len__(self) -> int:
        return len(self._data)

    def minibatch(self, positions: NDArray[np.int64], rng: np.random.Generator) -> Minibatch:
        read = self._data.minibatch(positions, rng)
        return tuple(tensor.pin_memory().to(self._device, non_blocking=True) for tensor in read)


def near(data: Data, device: torch.device, epochs: int = 1) -> Data:
    """The same minibatches, bit by bit, on ``device``; ``epochs`` is how often each image is drawn.

    On a CPU they come from the file, as it costs no more than an index into memory (128 images: 0.28 ms against 0.29 at
    32 x 32, 0.53 against 1.01 at 64 x 64; one core of an EPYC, a loaded machine). On a GPU, images that are drawn more than
    once live there if they fit and nothing random is done to them on the CPU; all else is sent. Neither was timed, for want
    of a GPU.
    """
    if device.type == "cpu":
        return data
    if epochs > 1 and isinstance(data, Images) and not data.random:
        return resident(data, device, int(RESIDENT_SHARE * free_memory(device))) or Sent(data, device)
    return Sent(data, device)


def resident(images: Images, device: torch.device, room: int) -> Resident | None:
    """The images on ``device``; None if they take more than ``room`` bytes, or more than there is after all."""
    one = images.frames(np.arange(1), np.random.default_rng(0)).nbytes
    try:
        return Resident(images, device) if one * len(images) <= room else None
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None


class Pairs:
    """Rows of the image store with a mask for each, prepared together: whatever moves the image moves its mask."""

    def __init__(self, pixels: FrameFile, rows: NDArray[np.int64], masks: Targets, prepare: PreparePairs) -> None:
        self._pixels, self._rows, self._masks, self._prepare = pixels, rows, masks, prepare

    def __len__(self) -> int:
        return len(self._rows)

    def minibatch(self, positions: NDArray[np.int64], rng: np.random.Generator) -> Minibatch:
        frames, masks = self._prepare(self._pixels.read(self._rows[positions]), self._masks[positions], rng)
        return _channels_first(frames), torch.from_numpy(np.ascontiguousarray(masks))


def _channels_first(frames: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)


def _read_ahead(
    data: Data, parts: list[NDArray[np.int64]], seeds: tuple[int, ...], done: int
) -> Generator[tuple[NDArray[np.int64], Minibatch, np.random.Generator]]:
    """Each part's minibatch and its own random numbers; the next one is read in a thread while the caller works."""

    def read(part: NDArray[np.int64], offset: int) -> tuple[NDArray[np.int64], Minibatch, np.random.Generator]:
        rng = np.random.default_rng([*seeds, offset])
        return part, data.minibatch(part, rng), rng

    offsets = done + np.cumsum([0, *map(len, parts)])
    with ThreadPoolExecutor(1, "minibatches") as thread:
        ahead = thread.submit(read, parts[0], int(offsets[0]))
        for part, offset in zip(parts[1:], offsets[1:].tolist(), strict=False):
            this, ahead = ahead, thread.submit(read, part, offset)
            yield this.result()
        yield ahead.result()


def half(size: int, error: RuntimeError | MemoryError) -> int:
    """Half of the minibatch size, two at least, after an ``error`` that says that memory ran out.

    Raises:
        TrainingImpossible: there were two images already.
        RuntimeError: the error itself, if it says something else.
    """
    if not is_out_of_memory(error):
        raise error
    if size <= 2:
        raise TrainingImpossible(
            "Memory is too short for two images at a time.", "Set a smaller image_size or width, or use a larger machine."
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

    When memory runs out the size is halved, ``retreat(size)`` is told, and the step that failed is repeated on
    smaller parts; what was done stays done. Random numbers hang on ``seeds`` and on the images done before, so that
    a minibatch is the same whenever it is read.

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
            size = half(size, error)
            retreat(size)
        if torch.cuda.is_available() and done < len(order):  # out of memory: the error held the tensors until here
            torch.cuda.empty_cache()
    return size
