"""Core-Set: the tasks that leave no other far from all that is labelled, by greedy k-center."""

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.strategies._covering import Covering
from pt4al_backend.query.strategies.base import ModelOutput, Request

Features = NDArray[np.float32]


class CoreSet(Covering):
    """Queries the task that is farthest from all that is labelled or picked, then the next.

    Source: Sener and Savarese (ICLR 2018), Algorithm 1. Features are the model's pooled ones, float32[m, d], compared by
    Euclidean distance without normalisation; the labelled images are centres from the start.

    Returns k picks in the order of the greedy algorithm; scores are places.

    Deviations: no mixed integer program refines the greedy solution (the paper's Algorithm 2), as in all published
    re-implementations. Those for CIFAR-10 cover a uniform draw of 10,000 images; here the whole pool is covered.
    """

    def pick(self, output: ModelOutput, request: Request) -> NDArray[np.int64]:
        return k_center(*output.required_features(), request.k)


def k_center(features: Features, centres: Features, k: int) -> NDArray[np.int64]:
    """Indices int64[min(k, n)] into ``features`` float32[n, d]: each the farthest from all centres and picks before it.

    Source: Gonzalez (TCS 1985); the radius is at most twice the best. ``centres`` float32[l, d] are there already. Without any
    the first pick is the point nearest to the mean. Ties go to the lowest index. Time O(n d) a pick, memory O(n d).
    """
    points, centres = _comparable(features, centres)
    k = max(0, min(k, len(points)))
    picks = np.empty(k, dtype=np.int64)
    if not k:
        return picks
    lengths = np.einsum("nd,nd->n", points, points)
    # without a centre the mean decides, which is the origin now
    distances = _to_nearest(points, centres) if len(centres) else lengths.max() - lengths
    for place in range(k):
        pick = picks[place] = distances.argmax()
        to_pick = np.maximum(lengths + lengths[pick] - 2 * (points @ points[pick]), 0)
        distances = np.minimum(distances, to_pick, out=to_pick) if place or len(centres) else to_pick
        distances[pick] = -1  # never again, however many lie in the same place
    return picks


def _to_nearest(points: Features, centres: Features) -> NDArray[np.float32]:
    """Squared distance float32[n] of each point to the nearest of the centres, in blocks, not as a matrix of all pairs."""
    # Imported where it is needed: a second and 100 MB, which processes that only check settings need not spend.
    from sklearn.metrics import pairwise_distances_argmin_min

    _, distances = pairwise_distances_argmin_min(points, centres, metric="sqeuclidean")
    return np.asarray(distances, np.float32)


def _comparable(features: Features, others: Features) -> tuple[Features, Features]:
    """Both moved and scaled alike, so that squares neither overflow nor drown differences; the order of distances stays."""
    both = np.concatenate([features, others]).astype(np.float32, copy=False)
    both /= np.maximum(np.abs(both).max(initial=0.0), np.finfo(np.float32).tiny)
    both -= both.mean(0, dtype=np.float64).astype(np.float32) if len(both) else np.float32(0)
    return both[: len(features)], both[len(features) :]
