"""Speed of the codec of brush regions, which every annotation of a segmentation project and every prediction goes through."""

import time
from collections.abc import Callable
from statistics import median

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.bench.numbers.table import Line
from pt4al_backend.bench.numbers.workbench import Workbench
from pt4al_backend.label_studio import rle

BOUND_MS = 10.0
HEIGHT, WIDTH = 512, 1024
SALT = 0.02  # share of the noisy mask's pixels that are turned over
REPEATS = 20


def measure(_: Workbench) -> list[Line]:
    """An ellipse, and the same with noise."""
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    smooth = ((columns - 500) / 300) ** 2 + ((rows - 250) / 150) ** 2 < 1
    noisy = smooth ^ (np.random.default_rng(0).random(smooth.shape) < SALT)
    return [*_measure(smooth, "smooth"), *_measure(noisy, f"{SALT:.0%} salt noise")]


def _measure(region: NDArray[np.bool_], name: str) -> list[Line]:
    packed = rle.encode(region)
    what = f"a brush region of {WIDTH} x {HEIGHT} pixels, {name}"
    note = f"{len(packed):,} bytes, median of {REPEATS}"
    return [
        Line(f"decoding {what}", _milliseconds(lambda: rle.decode(packed, HEIGHT, WIDTH)), "ms", BOUND_MS, note=note),
        Line(f"encoding {what}", _milliseconds(lambda: rle.encode(region)), "ms", note=note),
    ]


def _milliseconds(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return 1000 * median(seconds)
