"""Masks as data sets ship them: PNG files whose pixels are the data set's own class numbers."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pt4al_backend.aliases import ClassIds
from pt4al_backend.errors import ImageUnreadable
from pt4al_backend.images.mask_files import UNLABELLED, Mask


@dataclass(frozen=True, eq=False)
class MaskPng:
    """The mask in ``file``; ``ids`` is a table as ``ids_of`` makes it."""

    file: Path
    ids: ClassIds

    def mask(self, max_pixels: float = math.inf) -> Mask:
        """Reads it.

        Raises:
            ImageUnreadable: it cannot be read.
        """
        return Mask(self.ids[numbers(self.file, max_pixels)])


def ids_of(used: Iterable[int]) -> ClassIds:
    """The id of each number, uint8 [256]: the numbers in ``used`` get 0, 1, …, all others are `UNLABELLED`."""
    ids = np.full(256, UNLABELLED, np.uint8)
    for number, value in enumerate(used):
        ids[value] = number
    return ids


def require_size(size: tuple[int, int], numbers: ClassIds) -> None:
    """Checks that a mask has the size (width, height) of its image.

    Raises:
        ImageUnreadable: it has another.
    """
    height, width = numbers.shape
    if size != (width, height):
        raise ImageUnreadable(f"It has {size[0]} x {size[1]} pixels, its mask {width} x {height}.")


def numbers(file: Path, max_pixels: float) -> ClassIds:
    """The class numbers of a mask's pixels, uint8 [height, width].

    Raises:
        ImageUnreadable: it is missing, damaged, too large or coded in another way.
    """
    try:
        with Image.open(file, formats=("PNG",)) as image:
            if image.mode not in ("1", "L", "P"):
                raise ImageUnreadable(f"Its mask has pixels of kind {image.mode}, not class numbers (8-bit grey or palette).")
            if image.width * image.height > max_pixels:
                raise ImageUnreadable(f"Its mask has more than {max_pixels:,} pixels.")
            return np.asarray(image, dtype=np.uint8)
    except ImageUnreadable:
        raise
    except FileNotFoundError:
        raise ImageUnreadable(f"There is no mask {file}.") from None
    except Exception as error:  # a damaged PNG surfaces as any of a dozen types
        raise ImageUnreadable(f"Its mask {file} is no PNG, or a damaged one ({type(error).__name__}).") from error
