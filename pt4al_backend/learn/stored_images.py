"""Images in the frame file, as minibatches are drawn from them: with targets, with masks, or alone."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.learn.labels.base import Targets
from pt4al_backend.learn.minibatches import Minibatch

#: Prepares stored frames [m, *stored, 3] and their masks uint8 [m, H, W] alike.
PreparePairs = Callable[[NDArray[np.uint8], NDArray[np.uint8], np.random.Generator], tuple[NDArray[np.uint8], NDArray[np.uint8]]]


class Prepare(Protocol):
    """What is done to stored frames on the CPU."""

    random: bool  #: whether it draws random numbers

    def __call__(self, frames: NDArray[np.uint8], rng: np.random.Generator, /) -> NDArray[np.uint8]:
        """uint8 [m, *stored, 3] -> uint8 [m, H, W, 3]."""


class StoredImages:
    """Rows of the frame file, with targets or without.

    Args:
        frames: the frame file.
        rows: int64 [n], the row of each position.
        prepare: what is done to the stored frames on the CPU.
        targets: n of them, or None for images alone.
    """

    def __init__(self, frames: FrameFile, rows: NDArray[np.int64], prepare: Prepare, targets: Targets | None = None) -> None:
        self._frames, self._rows, self._prepare = frames, rows, prepare
        self.targets, self.random = targets, prepare.random

    def __len__(self) -> int:
        return len(self._rows)

    def frames(self, positions: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint8]:
        """The prepared images at ``positions``: uint8 [m, H, W, 3]."""
        return self._prepare(self._frames.read(self._rows[positions]), rng)

    def minibatch(self, positions: NDArray[np.int64], rng: np.random.Generator) -> Minibatch:
        images = channels_first(self.frames(positions, rng))
        return (images,) if self.targets is None else (images, torch.from_numpy(self.targets[positions]))


class StoredPairs:
    """Rows of the frame file with a mask for each, prepared together: whatever moves the image moves its mask."""

    def __init__(self, frames: FrameFile, rows: NDArray[np.int64], masks: Targets, prepare: PreparePairs) -> None:
        self._frames, self._rows, self._masks, self._prepare = frames, rows, masks, prepare

    def __len__(self) -> int:
        return len(self._rows)

    def minibatch(self, positions: NDArray[np.int64], rng: np.random.Generator) -> Minibatch:
        frames, masks = self._prepare(self._frames.read(self._rows[positions]), self._masks[positions], rng)
        return channels_first(frames), torch.from_numpy(np.ascontiguousarray(masks))


def channels_first(frames: NDArray[np.uint8]) -> Tensor:
    """Frames [m, H, W, 3] as a tensor [m, 3, H, W] in the channels-last memory format."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
