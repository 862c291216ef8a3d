"""The greedy solution of the k-center problem: points that leave no other far away (Gonzalez, TCS 1985)."""

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.strategies.distances import Features, closest, comparable, squares


def k_center(features: Features, centres: Features, k: int) -> NDArray[np.int64]:
    """Indices int64[min(k, n)] into ``features`` float32[n, d]: each the farthest from all centres and picks before it.

    ``centres`` float32[l, d] are there already; without any the first pick is the point nearest to the mean. Ties go to
    the lowest index. O(n d) a pick.
    """
    points, centres = comparable(features, centres)
    k = max(0, min(k, len(points)))
    picks = np.empty(k, dtype=np.int64)
    if not k:
        return picks
    lengths = squares(points)
    # without a centre the mean, which is the origin now, decides
    distances = closest(points, centres)[1] if len(centres) else lengths.max() - lengths
    for place in range(k):
        pick = picks[place] = distances.argmax()
        to_pick = np.maximum(lengths + lengths[pick] - 2 * (points @ points[pick]), 0)
        if place or len(centres):
            np.minimum(distances, to_pick, out=distances)
        else:
            distances = to_pick
        distances[pick] = -1  # never again, however many lie in the same place
    return picks
