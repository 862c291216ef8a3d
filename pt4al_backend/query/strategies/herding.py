"""Herding: the tasks that cover best what is not covered yet, where the model is unsure."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.strategies._covering import Covering
from pt4al_backend.query.strategies._lengths import of_unit_length
from pt4al_backend.query.strategies.base import ModelOutput, Need, Request

Features = NDArray[np.float32]

#: The most tasks that count for whether a pick covers them; of a larger pool this many are drawn uniformly.
MOST_COVERED = 4_000
#: Rows of the kernel that are computed at once, when all gains are found and when the largest are found again.
BLOCK, SMALL_BLOCK = 1_024, 32


class Herding(Covering):
    """Queries the task that adds most to the coverage of what is unsure, then the next.

    Source: Bae, Ng, Pham, Sutherland, "Generalized coverage for more robust low-budget active learning" (ECCV 2024), and Bae,
    Sutherland, Oliveira, "Uncertainty herding" (ICLR 2025). See ``herd`` for the rule. The uncertainty of a task is one minus its
    margin. Before there is a model the features are the pretext learner's, if the ranking kept them, and every task is as unsure
    as any other: kernel herding.

    Returns k picks in the order of the greedy algorithm; scores are places.

    Deviations: the papers choose the kernel's radius by the distances of the labelled images, and calibrate the model. Here the
    radius is 1 and the model is taken as it is, which made no difference and was better, respectively. Coverage is summed
    over at most 4,000 tasks.
    """

    needs: frozenset[Need] = frozenset({"features", "pretext_features"})

    def pick(self, output: ModelOutput, request: Request) -> NDArray[np.int64]:
        features, labelled = output.required_features()
        return herd(features, labelled, uncertainty(output), request.k, request.rng)


def uncertainty(output: ModelOutput) -> NDArray[np.float32]:
    """One minus the margin float32[m] of each candidate; 1 of all where no model gave any."""
    if "margin" not in output.confidences:
        return np.ones(len(output.positions), np.float32)
    return (1.0 - output.confidences["margin"]).astype(np.float32)


def herd(
    features: Features, covered: Features, weights: NDArray[np.float32], k: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Indices int64[min(k, n)] into ``features`` float32[n, d]: each adds most to the weighted coverage by those before it.

    Features are scaled to unit length. The kernel of two is exp(-|x - y|^2); the cover c(x) of a task is its largest kernel with
    anything in ``covered`` float32[l, d] or picked before. A pick y adds the sum over tasks x of w(x) max(0, k(x, y) - c(x)),
    with ``weights`` w float32[n]. Equal gains go to the lowest index. When nothing adds anything, what is left follows by index.

    The sum can only shrink as picks are made, so a gain that was computed earlier is a bound, and only the tasks with the
    largest bounds are computed again: the result is that of computing all. Memory O(n d), not O(n^2).
    """
    points = of_unit_length(features)
    chosen = np.arange(len(points))
    if len(points) > MOST_COVERED:
        chosen = np.sort(rng.choice(len(points), MOST_COVERED, replace=False))
    targets, importance = points[chosen], weights[chosen]
    cover = np.zeros(len(targets), np.float32)
    for block in _blocks(of_unit_length(covered)):
        cover = np.maximum(cover, _kernel(block, targets).max(0))

    def gains(rows: Features) -> NDArray[np.float32]:
        return np.asarray(np.maximum(_kernel(rows, targets) - cover, 0) @ importance, np.float32)

    bounds = np.concatenate([gains(block) for block in _blocks(points)] or [np.empty(0, np.float32)])
    picks = np.empty(max(0, min(k, len(points))), np.int64)
    for place in range(len(picks)):
        pick = picks[place] = _largest(bounds, lambda rows: gains(points[rows]))
        cover = np.maximum(cover, _kernel(points[pick : pick + 1], targets)[0])
        bounds[pick] = -np.inf
    return picks


def _largest(bounds: NDArray[np.float32], gains: Callable[[NDArray[np.int64]], NDArray[np.float32]]) -> int:
    """The index of the largest gain, the lowest of equals; ``bounds`` float32[n] become gains where these are computed."""
    fresh = np.zeros(len(bounds), np.bool_)
    while True:
        best = int(bounds.argmax())
        if fresh[best] or np.isneginf(bounds[best]):
            return best
        count = min(SMALL_BLOCK, len(bounds))
        rows = np.sort(np.argpartition(-bounds, count - 1)[:count])
        rows = rows[~fresh[rows] & np.isfinite(bounds[rows])]
        rows = rows if best in rows else np.append(rows, best)
        bounds[rows] = np.minimum(bounds[rows], gains(rows))  # rounding must not raise a bound
        fresh[rows] = True


def _kernel(points: Features, others: Features) -> Features:
    """float32[a, b] for points of unit length, or zeros."""
    lengths, other_lengths = (np.einsum("nd,nd->n", each, each) for each in (points, others))
    squares = np.maximum(lengths[:, None] + other_lengths[None] - 2 * (points @ others.T), 0)
    return np.asarray(np.exp(-squares), np.float32)


def _blocks(points: Features) -> list[Features]:
    return [points[start : start + BLOCK] for start in range(0, len(points), BLOCK)]
