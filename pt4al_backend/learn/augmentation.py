"""Augmentation, and the centre crop that is used in its place in evaluation.

Images that train at up to 64 pixels are augmented as tensors on the device. Larger ones, and images with masks, are augmented by
albumentations on the CPU: its crops and affine maps move a uint8 image and its mask alike, each by its own generator. Nothing
outside this module knows that library.
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

from pt4al_backend.images.frames import SMALL, Shape
from pt4al_backend.images.mask_files import UNLABELLED
from pt4al_backend.learn.networks import MEAN
from pt4al_backend.learn.stored_images import Prepare

#: Augments uint8 images [m, 3, S, S] on the device.
Augment = Callable[[Tensor, np.random.Generator], Tensor]

#: Pixels of padding in which a crop moves, for 32 pixels a side: the paper's CIFAR recipe. Scaled with the side.
PADDING = 4 / 32

#: Of whole images: enlargement, largest shift as a part of the side, largest change of brightness and contrast.
SCALE, SHIFT, LIGHT = (0.75, 1.5), 0.1, 0.15

#: Parts that a minibatch of larger images is augmented in, each in a thread; fixed, so that results are the same on any machine.
_PARTS = 4


class Centre:
    """The centre of stored frames, nothing random: uint8 [m, *stored, 3] -> [m, *shape, 3]."""

    random = False

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
    """A shifted crop of the zero-padded image, half of them mirrored: uint8 [m, 3, S, S] -> the same shape, any device."""
    m, _, size, _ = images.shape
    pad = round(PADDING * size)
    shifts = torch.from_numpy(rng.integers(0, 2 * pad + 1, (2, m, 1))).to(images.device, non_blocking=True)
    flips = torch.from_numpy(rng.random((m, 1)) < 0.5).to(images.device, non_blocking=True)
    along = torch.arange(size, device=images.device).expand(m, size)
    rows = along + shifts[0]
    columns = torch.where(flips, along.flip(1), along) + shifts[1]
    padded = F.pad(images, (pad, pad, pad, pad)).permute(0, 2, 3, 1)
    picked = padded[torch.arange(m, device=images.device)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2)


def _albumentations() -> Any:
    """The library, imported when a training first needs it.

    At import it asks the network for its newest version, unless this variable is set: that would delay every training where
    there is no way out, and nobody wants it.
    """
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations

    return albumentations


class _Transforms:
    """albumentations' transforms, each image by itself, in threads: the same for the same generator.

    ``choose`` gets the library and gives the transforms.
    """

    def __init__(self, shape: Shape, choose: Callable[[Any], list[Any]]) -> None:
        library = _albumentations()
        self._shape = shape
        self._parts: list[Any] = [library.Compose(choose(library)) for _ in range(_PARTS)]
        self._threads = ThreadPoolExecutor(_PARTS, "augmentation")

    def __call__(self, rng: np.random.Generator, **inputs: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
        """Transforms ``image`` uint8 [m, H, W, 3], and ``mask`` uint8 [m, H, W] alike if there is one, into the shape."""
        count = len(inputs["image"])
        outputs = {name: np.empty((count, *self._shape, *arrays.shape[3:]), np.uint8) for name, arrays in inputs.items()}

        def transform(part: int, seed: int) -> None:
            self._parts[part].set_random_seed(seed)
            for k in range(part, count, _PARTS):
                result = self._parts[part](**{name: arrays[k] for name, arrays in inputs.items()})
                for name, arrays in outputs.items():
                    arrays[k] = result[name]

        list(self._threads.map(transform, range(_PARTS), rng.integers(0, 2**31, _PARTS).tolist()))
        return outputs


class ResizedCrops:
    """Random resized crops (8 % to 100 % of the area), mirrored half of the time: the paper's recipe for 224 pixels.

    Takes uint8 [m, *stored, 3] and a generator, gives uint8 [m, *shape, 3].
    """

    random = True

    def __init__(self, shape: Shape) -> None:
        self._transforms = _Transforms(shape, lambda a: [a.RandomResizedCrop(size=shape), a.HorizontalFlip(p=0.5)])

    def __call__(self, images: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        return self._transforms(rng, image=images)["image"]


class Scenes:
    """Whole images and their masks alike, for segmentation: mirrored, scaled and shifted, brightness and contrast changed.

    Each of the three happens to half of them. Takes uint8 [m, H, W, 3], [m, H, W] and a generator, gives arrays of the same
    shapes. Pixels from outside the frame are ``MEAN`` in the image and ``UNLABELLED`` in the mask.

    It is mild because trainings on few labels are short: stronger ones did worse (docs/results/segmentation.md).
    """

    def __init__(self, shape: Shape) -> None:
        self._transforms = _Transforms(
            shape,
            lambda a: [
                a.HorizontalFlip(p=0.5),
                a.Affine(
                    scale=SCALE,
                    translate_percent=(-SHIFT, SHIFT),
                    keep_ratio=True,
                    balanced_scale=True,
                    fill=tuple(round(255 * value) for value in MEAN),
                    fill_mask=UNLABELLED,
                    p=0.5,
                ),
                a.RandomBrightnessContrast(LIGHT, LIGHT, p=0.5),
            ],
        )

    def __call__(
        self, images: NDArray[np.uint8], masks: NDArray[np.uint8], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        outputs = self._transforms(rng, image=images, mask=masks)
        return outputs["image"], outputs["mask"]


def of_shape(shape: Shape) -> tuple[Prepare, Augment]:
    """The augmentation for images of a shape: first what is done on the CPU to stored frames, then to tensors on the device."""
    return (Centre(shape), crop_and_flip) if min(shape) <= SMALL else (ResizedCrops(shape), unchanged)
