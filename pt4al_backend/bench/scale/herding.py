"""What it takes to find the images that cover millions best, and what is lost against computing all of it.

Features are made up, in groups, and lie in a file of 16 bits as those of ``pt4al rank`` do.
"""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.bench.numbers.footprint import forget_peak, peak
from pt4al_backend.bench.numbers.table import Line
from pt4al_backend.bench.numbers.workbench import Workbench
from pt4al_backend.query.strategies._coverage import LIMITS, Limits, blocks, gaussian, negative_squares
from pt4al_backend.query.strategies._lengths import of_unit_length
from pt4al_backend.query.strategies.base import Sizes
from pt4al_backend.query.strategies.herding import MOST_HERDED, herd

IMAGES, WIDTH, GROUPS = 1_000_000, 256, 200
COMPARED, QUERY = 20_000, 1_000  # images and picks of the comparison with computing all
WRITTEN = 50_000
MB = 1e6

Features = NDArray[np.float16]


def measure(bench: Workbench) -> list[Line]:
    """Seconds and memory of herding many, and the coverage that parts of few reach, as a share of what computing all does."""
    path = bench.folder / "features.npy"
    _write(path, IMAGES)
    # In a process of its own, whose peak is that of herding, once its libraries are there.
    with ProcessPoolExecutor(1, get_context("spawn")) as child:
        seconds, held = child.submit(_herded, path, MOST_HERDED).result()
    note = f"{held / MB:,.0f} MB at most beside the file, of {IMAGES * WIDTH * 2 / MB:,.0f} MB, whose pages are read by parts"
    what = f"herding {MOST_HERDED:,} of {IMAGES:,} features of {WIDTH} dimensions"
    few = np.load(path, mmap_mode="r")[:COMPARED]
    return [Line(what, seconds, "s", note=note), *_compared(np.asarray(few))]


def _write(path: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(GROUPS, WIDTH)).astype(np.float32)
    file = np.lib.format.open_memmap(path, "w+", np.float16, (count, WIDTH))
    for start in range(0, count, WRITTEN):
        found = centres[rng.integers(0, GROUPS, min(WRITTEN, count - start))]
        file[start : start + WRITTEN] = np.maximum(found + rng.normal(size=found.shape), 0)
    file.flush()


def _herded(path: Path, picks: int) -> tuple[float, int]:
    """Seconds, and bytes beside the file's pages."""
    features = np.load(path, mmap_mode="r")
    _picked(np.asarray(features[:COMPARED]), QUERY)  # loads what is loaded once
    before = forget_peak()
    began = time.perf_counter()
    _picked(features, picks)
    return time.perf_counter() - began, peak(os.getpid()) - before


def _picked(features: Features, count: int, limits: Limits = LIMITS) -> NDArray[np.int64]:
    weights = np.ones(len(features), np.float32)
    given = features.view()  # of 16 bits: herding makes 32 of each part that it looks at
    return herd(given, given[:0], weights, Sizes(count, count), np.random.default_rng(1), limits=limits)  # type: ignore[arg-type]


def _compared(features: Features) -> Iterator[Line]:
    """Parts of a fiftieth each, as of a million, and one part, against one that counts all for what a pick covers."""
    exact = _coverage_by(features, _picked(features, QUERY, Limits(covered=len(features))))
    parted = _coverage_by(features, _picked(features, QUERY, Limits(candidates=0, part=len(features) // 50)))
    one = _coverage_by(features, _picked(features, QUERY))
    drawn = _coverage_by(features, np.random.default_rng(2).choice(len(features), QUERY, replace=False))
    what = f"coverage by {QUERY:,} of {len(features):,} features herded in 50 parts, of that of computing all"
    beside = f"one part, which counts {LIMITS.covered:,} of them: {100 * one / exact:.1f} %"
    yield Line(what, 100 * parted / exact, "%", note=f"{beside}; random picks: {100 * drawn / exact:.1f} %")


def _coverage_by(features: Features, picks: NDArray[np.int64]) -> float:
    """The mean over all of the largest kernel with a pick."""
    points = of_unit_length(features.astype(np.float32))
    cover = np.zeros(len(points), np.float32)
    for block in blocks(len(picks)):
        near = gaussian(negative_squares(points[picks[block]], points))
        np.maximum(cover, near.max(0), out=cover)
    return float(cover.mean())
