"""K-means (Lloyd 1982), seeded by k-means++, its centres found on a sample of the points where there are many."""

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.strategies.distances import Features, closest, squares
from pt4al_backend.query.strategies.seeding import seeding

#: Most points that centres are found on.
SAMPLE = 20_000
#: Most times that points are assigned to centres.
ITERATIONS = 20


def k_means(points: Features, k: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The cluster, 0..k-1, of each of ``points`` float32[n, d]: int64[n]; clusters may stay empty where points coincide."""
    if not len(points):
        return np.empty(0, dtype=np.int64)
    sample = points
    if len(points) > SAMPLE:
        sample = points[np.sort(rng.choice(len(points), SAMPLE, replace=False))]
    lengths = squares(sample)

    def squared_to(i: int) -> NDArray[np.float32]:
        found: NDArray[np.float32] = np.maximum(lengths + lengths[i] - 2 * (sample @ sample[i]), 0)
        return found

    centres = sample[seeding(int(rng.integers(len(sample))), len(sample), k, squared_to, rng)]
    clusters = np.full(len(sample), -1)
    for _ in range(ITERATIONS):
        before, clusters = clusters, closest(sample, centres)[0]
        if np.array_equal(before, clusters):
            break
        centres = _means(sample, clusters, centres)
    return closest(points, centres)[0]


def _means(points: Features, clusters: NDArray[np.int64], centres: Features) -> Features:
    """The mean of each cluster; an empty one keeps its centre."""
    order = np.argsort(clusters, kind="stable")
    present, starts, sizes = np.unique(clusters[order], return_index=True, return_counts=True)
    means = centres.copy()
    means[present] = np.add.reduceat(points[order], starts) / sizes[:, None]
    return means
