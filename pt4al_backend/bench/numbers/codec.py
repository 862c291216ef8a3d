"""Speed of the codec of brush regions, which every annotation of a segmentation project and every prediction goes through, and
of drawing a prediction on a large image."""

import time
from collections.abc import Callable
from statistics import median

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.bench.numbers.table import Line
from pt4al_backend.bench.numbers.workbench import Workbench
from pt4al_backend.images.frames import restore_ids
from pt4al_backend.images.mask_files import Mask
from pt4al_backend.label_studio.codecs import rle
from pt4al_backend.label_studio.label_config import SegmentationConfig, Shape
from pt4al_backend.label_studio.outlines import regions_of

BOUND_MS = 10.0
HEIGHT, WIDTH = 512, 1024
SALT = 0.02  # share of the noisy mask's pixels that are turned over
REPEATS = 20

LARGE = (4000, 3000)  # width and height of a large image
FRAME = (384, 512)  # in which a model sees it
CLASSES = tuple("abcde")
FEW_REPEATS = 5


def measure(_: Workbench) -> list[Line]:
    """An ellipse, the same with noise, and a prediction of five classes with each tool."""
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    smooth = ((columns - 500) / 300) ** 2 + ((rows - 250) / 150) ** 2 < 1
    noisy = smooth ^ (np.random.default_rng(0).random(smooth.shape) < SALT)
    drawn = [_draw(shape) for shape in ("brush", "polygon", "bitmask")]
    return [*_measure(smooth, "smooth"), *_measure(noisy, f"{SALT:.0%} salt noise"), *drawn]


def _measure(region: NDArray[np.bool_], name: str) -> list[Line]:
    packed = rle.encode(region)
    what = f"a brush region of {WIDTH} x {HEIGHT} pixels, {name}"
    note = f"{len(packed):,} bytes, median of {REPEATS}"
    return [
        Line(f"decoding {what}", _milliseconds(lambda: rle.decode(packed, HEIGHT, WIDTH)), "ms", BOUND_MS, note=note),
        Line(f"encoding {what}", _milliseconds(lambda: rle.encode(region)), "ms", note=note),
    ]


def _draw(shape: Shape) -> Line:
    rng = np.random.default_rng(0)
    rows, columns = np.ogrid[: FRAME[0], : FRAME[1]]
    frame = np.zeros(FRAME, dtype=np.uint8)
    for number in range(40):
        y, x, radius = rng.uniform((0, 0, 10), (*FRAME, 60))
        frame[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = number % len(CLASSES)
    config = SegmentationConfig("mask", "image", "image", CLASSES, shape)
    took = _milliseconds(lambda: regions_of(Mask(restore_ids(frame, LARGE)), config), FEW_REPEATS)
    what = f"drawing a prediction of {len(CLASSES)} classes on {LARGE[0]} x {LARGE[1]} pixels, {shape}"
    return Line(what, took, "ms", note=f"40 disks, median of {FEW_REPEATS}")


def _milliseconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return 1000 * median(seconds)
