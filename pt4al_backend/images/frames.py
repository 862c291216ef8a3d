"""Frames: the one shape in which a project's images are stored and trained on, and how an image gets into it.

A shape is (height, width) in pixels. Classification, of one class or of several, sees squares of the image's centre.
Segmentation sees the whole image: it is scaled until it fits the frame, lies at the top left, and what is left of the frame
mirrors it. A mirror, not black: every pixel of a frame then looks like the image, and a mean over them is a mean over the image.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.Image import Resampling

from pt4al_backend.errors import ImageUnreadable

T = TypeVar("T")
Shape = tuple[int, int]

SMALL, STEP = 64, 8  # squares of images up to SMALL pixels keep their own size, rounded to a multiple of STEP
SMALLEST = 32
GPU_SIZE, CPU_SIZE = 224, 128
MARGIN = 8 / 7  # stored side over training side of larger squares: 256 over 224, the room that random crops need

GPU_LONGER, CPU_LONGER = 512, 128  # longer side of a segmenter's frame
CELL = 16  # a segmenter's encoder halves its frame four times


def crop(image: Image.Image, shape: Shape) -> NDArray[np.uint8]:
    """The centre of an RGB image as uint8 [height, width, 3], scaled until it fills the shape.

    Bilinear with antialiasing; an image of that shape already keeps its very pixels.
    """
    height, width = shape
    return np.asarray(ImageOps.fit(image, (width, height), Resampling.BILINEAR), dtype=np.uint8)


def digest(frame: NDArray[np.uint8]) -> str:
    """A text of 32 letters that tells frames of one shape apart by their pixels: BLAKE2b of 128 bits."""
    return hashlib.blake2b(frame.tobytes(), digest_size=16).hexdigest()


def fit(image: Image.Image, shape: Shape) -> NDArray[np.uint8]:
    """The whole of an RGB image as uint8 [height, width, 3], scaled until it fits into the shape and mirrored beyond."""
    height, width = content(image.size, shape)
    return _mirrored(np.asarray(image.resize((width, height), Resampling.BILINEAR), dtype=np.uint8), shape)


def fit_ids(ids: NDArray[np.uint8], shape: Shape) -> NDArray[np.uint8]:
    """A mask of an image as uint8 [height, width], placed as ``fit`` places the image; each pixel takes its nearest's id."""
    height, width = content((ids.shape[1], ids.shape[0]), shape)
    return _mirrored(np.asarray(Image.fromarray(ids).resize((width, height), Resampling.NEAREST), dtype=np.uint8), shape)


def restore_ids(ids: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """What ``fit_ids`` put into a frame, uint8, at the size (width, height) of the image, with smooth outlines.

    Each class is enlarged by itself, bilinearly, and each pixel goes to the class that covers most of it.
    """
    import cv2

    height, width = content(size, (ids.shape[0], ids.shape[1]))
    inside = ids[:height, :width]
    best = np.zeros((size[1], size[0]), dtype=np.uint8)
    restored = np.full(best.shape, inside[0, 0], dtype=np.uint8)
    for each in np.unique(inside):
        cover = cv2.resize(255 * (inside == each).astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)
        np.copyto(restored, each, where=cover > best)
        np.maximum(best, cover, out=best)
    return restored


def content(size: tuple[int, int], shape: Shape) -> Shape:
    """Height and width that an image of ``size`` (width, height) takes up in a frame."""
    scale = min(shape[1] / size[0], shape[0] / size[1])
    return max(1, min(shape[0], round(scale * size[1]))), max(1, min(shape[1], round(scale * size[0])))


#: How the images of each main task get into their frame.
KEEP: dict[str, Callable[[Image.Image, Shape], NDArray[np.uint8]]] = {
    "classification": crop,
    "multilabel": crop,
    "segmentation": fit,
}


#: Images that decide the shape of all.
SAMPLE = 32


def readable_sizes(
    images: Iterable[T], size_of: Callable[[T], tuple[int, int]], pool: ThreadPoolExecutor
) -> list[tuple[int, int]]:
    """(width, height) of those images that can be read; ``size_of`` raises ImageUnreadable for the others."""

    def size(image: T) -> tuple[int, int] | None:
        try:
            return size_of(image)
        except ImageUnreadable:
            return None

    return [found for found in pool.map(size, images) if found]


def choose(task: str, sizes: Sequence[tuple[int, int]], *, gpu: bool, requested: int | None = None) -> tuple[Shape, Shape]:
    """The shape that networks are trained at, and the shape that images are stored in.

    Args:
        task: the main task.
        sizes: (width, height) of some of the project's images.
        gpu: whether there is one.
        requested: side of the square, or longer side of the frame; None leaves it to this function.
    """
    if task == "segmentation":
        shape = _frame(sizes, gpu=gpu, requested=requested)
        return shape, shape
    size, stored = _square([min(size) for size in sizes], gpu=gpu, requested=requested)
    return (size, size), (stored, stored)


def _square(shorter_sides: Sequence[int], *, gpu: bool, requested: int | None) -> tuple[int, int]:
    """The side of the squares that networks are trained at, and of those that are stored.

    The training side is ``requested`` if given. Else it is the pool's own if that is small (median shorter side up to 64:
    the nearest multiple of 8, at least 32), or 224 with a GPU, the side of ImageNet's weights, and 128 without. Larger
    images are stored with a margin, which random crops need. No images at all count as large ones.
    """
    size = requested or (GPU_SIZE if gpu else CPU_SIZE)
    if not requested and len(shorter_sides):
        median = float(np.median(shorter_sides))
        if median <= SMALL:
            size = max(SMALLEST, STEP * round(median / STEP))
    return size, size if size <= SMALL else round(size * MARGIN)


def _frame(sizes: Sequence[tuple[int, int]], *, gpu: bool, requested: int | None) -> Shape:
    """A frame of the median aspect ratio, both sides whole numbers of ``CELL``; no larger than the images unless requested."""
    largest = GPU_LONGER if gpu else CPU_LONGER
    widths, heights = np.array(sizes or [(4 * largest, 3 * largest)], dtype=np.float64).T
    longer = requested or min(largest, float(np.median(np.maximum(widths, heights))))
    aspect = float(np.median(widths / heights))
    width, height = longer * min(1.0, aspect), longer * min(1.0, 1 / aspect)
    return _cells(height), _cells(width)


def _cells(side: float) -> int:
    return max(2 * CELL, CELL * math.ceil(round(side / CELL, 3)))


def _mirrored(inside: NDArray[np.uint8], shape: Shape) -> NDArray[np.uint8]:
    missing = [(0, side - have) for side, have in zip(shape, inside.shape, strict=False)]
    return np.pad(inside, [*missing, *[(0, 0)] * (inside.ndim - 2)], mode="symmetric")
