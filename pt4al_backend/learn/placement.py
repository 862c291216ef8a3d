"""Where images live while they are drawn: in the frame file, in a part of a GPU's memory, or on the way there."""

import numpy as np
import torch
from numpy.typing import NDArray

from pt4al_backend.learn.devices import free_memory, is_out_of_memory
from pt4al_backend.learn.minibatches import Data, Minibatch, cut_exactly
from pt4al_backend.learn.stored_images import StoredImages

#: Part of a GPU's free memory that images may live in; the rest decides how large minibatches can be.
RESIDENT_SHARE = 1 / 8
_MOVED_TOGETHER = 1024  # images on their way there


class DeviceImages:
    """Images, not prepared at random, that live on a device with their targets: a minibatch is an index there.

    The thread that reads ahead may draw from it: the work of both threads is queued on the device's one default stream, so that
    nothing is used before it is drawn, nor its memory filled while it is still used.

    Args:
        images: read here, once.
        device: where they are going to live.
    """

    def __init__(self, images: StoredImages, device: torch.device) -> None:
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


class SentData:
    """Data that the thread which reads ahead sends to a GPU through pinned memory: nothing waits for the copy."""

    def __init__(self, data: Data, device: torch.device) -> None:
        self._data, self._device = data, device

    def __len__(self) -> int:
        return len(self._data)

    def minibatch(self, positions: NDArray[np.int64], rng: np.random.Generator) -> Minibatch:
        read = self._data.minibatch(positions, rng)
        return tuple(tensor.pin_memory().to(self._device, non_blocking=True) for tensor in read)


def placed(data: Data, device: torch.device, epochs: int = 1) -> Data:
    """The same minibatches, bit by bit, on ``device``; ``epochs`` is how often each image is drawn.

    On a CPU they come from the file, which costs no more than an index into memory (docs/numbers.md). On a GPU, images that are
    drawn more than once live there if they fit and nothing random is done to them on the CPU; all else is sent. Neither was
    timed on a GPU.
    """
    if device.type == "cpu":
        return data
    if epochs > 1 and isinstance(data, StoredImages) and not data.random:
        return on_device(data, device, int(RESIDENT_SHARE * free_memory(device))) or SentData(data, device)
    return SentData(data, device)


def on_device(images: StoredImages, device: torch.device, room: int) -> DeviceImages | None:
    """The images on ``device``; None if they take more than ``room`` bytes, or more than there is after all."""
    one = images.frames(np.arange(1), np.random.default_rng(0)).nbytes
    try:
        return DeviceImages(images, device) if one * len(images) <= room else None
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None
