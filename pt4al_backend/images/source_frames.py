"""The frame of one image of a source: read, decoded, and brought into its shape."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.errors import ImageUnreadable
from pt4al_backend.images.decode import decode
from pt4al_backend.images.frames import KEEP, Shape
from pt4al_backend.images.sources import Source


class SourceFrame(NamedTuple):
    """An image's frame uint8 [h, w, 3], or why there is none, and whether its store is to blame; and the version of the image."""

    frame: NDArray[np.uint8] | None = None
    problem: str = ""
    transient: bool = False
    version: str = ""


@dataclass(frozen=True)
class Bounds:
    """The most bytes and pixels of an image that is read."""

    bytes: int
    pixels: int

    def size_of(self, source: Source, name: str) -> tuple[int, int]:
        """(width, height) of an image as it is shown.

        Raises:
            ImageUnreadable: it cannot be read.
        """
        return decode(source.read(name, self.bytes), self.pixels).image.size

    def frame_of(self, source: Source, name: str, task: str, stored: Shape) -> SourceFrame:
        """The frame of an image for a main task."""
        try:
            data, version = source.read_version(name, self.bytes)
            image = decode(data, self.pixels, max(stored)).image
            return SourceFrame(KEEP[task](image, stored), version=version)
        except ImageUnreadable as error:
            return SourceFrame(None, str(error), error.transient)
