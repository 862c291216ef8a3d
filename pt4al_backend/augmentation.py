"""Augmentation, and the crop that stands for it in evaluation.

Images that train at up to 64 pixels are augmented as tensors on the device, larger ones by albumentations on the CPU
(which looks up its own version on the network at import unless told not to).
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pt4al_backend.frames import SMALL, Shape
from pt4al_backend.minibatches import Prepare

#: Augments uint8 images [m, 3, S, S] on the device.
Augment = Callable[[Tensor, np.random.Generator], Tensor]

#: Pixels of padding in which a crop moves, for 32 pixels a side: the paper's CIFAR recipe. Scaled with the side.
PADDING = 4 / 32

#: Parts that a minibatch of larger images is augmented in, each in a thread; fixed, so that results do not hang on the machine.
_PARTS = 4


class Centre:
    """The centre of stored frames, nothing random: uint8 [m, *stored, 3] -> [m, *shape, 3]."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def __call__(self, images: NDArray[np.uint8], _: np.random.Generator | None = None) -> NDArray[np.uint8]:
        height, width = self._shape
        top, left = (images.shape[1] - height) // 2, (images.shape[2] - width) // 2
        return images[:, top : top + height, left : left + width]


def unchanged(images: Tensor, _: np.random.Generator) -> Tensor:
    """The images as they are."""
    return images


def crop_and_flip(images: Tensor, rng: np.random.Generator) -> Tensor:
    """A shifted crop of the zero-padded image, mirrored half of the time: [m, 3, S, S] -> the same shape, any device."""
    m, _, size, _ = images.shape
    pad = round(PADDING * size)
    shifts = torch.from_numpy(rng.integers(0, 2 * pad + 1, (2, m, 1))).to(images.device)
    flips = torch.from_numpy(rng.random((m, 1)) < 0.5).to(images.device)
    along = torch.arange(size, device=images.device).expand(m, size)
    rows = along + shifts[0]
    columns = torch.where(flips, along.flip(1), along) + shifts[1]
    padded = F.pad(images, (pad, pad, pad, pad)).permute(0, 2, 3, 1)
    picked = padded[torch.arange(m, device=images.device)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2)


class ResizedCrops:
    """Random resized crops, mirrored half of the time: the paper's recipe for 224 pixels, by albumentations.

    Takes uint8 [m, *stored, 3] and a generator, gives uint8 [m, *shape, 3].
    """

    def __init__(self, shape: Shape) -> None:
        os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
        import albumentations

        self._shape = shape
        self._parts: list[Any] = [
            albumentations.Compose([albumentations.RandomResizedCrop(size=shape), albumentations.HorizontalFlip(p=0.5)])
            for _ in range(_PARTS)
        ]
        self._threads = ThreadPoolExecutor(_PARTS, "augmentation")

    def __call__(self, images: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        result = np.empty((len(images), *self._shape, 3), dtype=np.uint8)

        def augment(part: int, seed: int) -> None:
            self._parts[part].set_random_seed(seed)
            for k in range(part, len(images), _PARTS):
                result[k] = self._parts[part](image=images[k])["image"]

        list(self._threads.map(augment, range(_PARTS), rng.integers(0, 2**31, _PARTS).tolist()))
        return result


def of_shape(shape: Shape) -> tuple[Prepare, Augment]:
    """What training does to images of a shape: first on the CPU to stored frames, then to tensors on the device."""
    return (Centre(shape), crop_and_flip) if min(shape) <= SMALL else (ResizedCrops(shape), unchanged)
