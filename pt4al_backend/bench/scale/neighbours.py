"""What the nearest neighbours of many cost, and how many of the true ones are found.

Points are of the width that near-duplicates are looked for in, made up in groups that run into each other, which is the harder
case for an index; a tenth of them are nearly repeated.
"""

import time

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.analysis.near_duplicates import NEAREST, WIDTH
from pt4al_backend.bench.numbers.table import Line
from pt4al_backend.bench.numbers.workbench import Workbench
from pt4al_backend.neighbour_index import NeighbourIndex
from pt4al_backend.threads import one_thread

POINTS, GROUPS, TWINS = 100_000, 200, 0.1
ASKED = 1_000  # whose true neighbours are found by comparing all
BLOCK = 1_024


def measure(_: Workbench) -> list[Line]:
    """Seconds for all, and the share of the true ones that are found."""
    points = _points(np.random.default_rng(0))
    began = time.perf_counter()
    index = NeighbourIndex(points)
    built = time.perf_counter() - began
    found = np.concatenate(
        [index.others(np.arange(start, min(start + BLOCK, len(points))), NEAREST)[1] for start in range(0, len(points), BLOCK)]
    )
    took = time.perf_counter() - began
    asked = np.unique(np.linspace(0, len(points) - 1, ASKED).astype(np.int64))
    true = _by_comparing_all(points, asked)
    share = np.mean([np.isin(true[row], found[place]).mean() for row, place in enumerate(asked)])
    repeated = np.flatnonzero(asked < TWINS * len(points))
    twins = np.mean([true[row, 0] in found[asked[row]] for row in repeated])
    what = f"the {NEAREST} nearest of each of {len(points):,} points of {points.shape[1]} dimensions"
    return [
        Line(what, took, "s", note=f"{built:.1f} s of it to build the index"),
        Line("— share of the true ones that are found", 100 * float(share), "%", note=f"n = {len(asked):,}"),
        Line("— of those of nearly repeated points, the very nearest", 100 * float(twins), "%"),
    ]


def _points(rng: np.random.Generator) -> NDArray[np.float32]:
    twins = int(TWINS * POINTS)
    found = rng.normal(0, 0.5, (GROUPS, WIDTH))[rng.integers(0, GROUPS, POINTS)] + rng.normal(size=(POINTS, WIDTH))
    found[POINTS - twins :] = found[:twins] + rng.normal(0, 0.1, (twins, WIDTH))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def _by_comparing_all(points: NDArray[np.float32], asked: NDArray[np.int64]) -> NDArray[np.int64]:
    """The true neighbours int64 [m, NEAREST], nearest first."""
    with one_thread():
        cosines = points[asked] @ points.T
        cosines[np.arange(len(asked)), asked] = -np.inf
        some = np.argpartition(-cosines, NEAREST, axis=1)[:, :NEAREST]
        order = np.argsort(-np.take_along_axis(cosines, some, 1), axis=1)
    return np.asarray(np.take_along_axis(some, order, 1), np.int64)
