"""Distances between features, in blocks: never more than ``BLOCK`` of them are held at a time.

Distances are Euclidean and squared, float32, from |a|² + |b|² - 2 a·b, which rounding may leave a little off zero.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

#: Most distances held at a time: 64 MiB.
BLOCK = 2**24

Features = NDArray[np.float32]
Ids = NDArray[np.int64]


def comparable(features: Features, others: Features) -> tuple[Features, Features]:
    """Both moved and scaled alike so that their squares neither overflow nor drown differences; order of distances kept."""
    both = np.concatenate([features, others]).astype(np.float32)
    both /= np.maximum(np.abs(both).max(initial=0.0), np.finfo(np.float32).tiny)
    both -= both.mean(0, dtype=np.float64).astype(np.float32) if len(both) else np.float32(0)
    return both[: len(features)], both[len(features) :]


def of_length_one(features: Features) -> Features:
    """Features brought to Euclidean length one; zeros stay zeros."""
    scaled = features / np.maximum(np.abs(features).max(1, keepdims=True, initial=0.0), np.finfo(np.float32).tiny)
    lengths = np.sqrt(squares(scaled))[:, None]
    found: Features = np.divide(scaled, lengths, out=np.zeros_like(scaled), where=lengths > 0)
    return found


def squares(features: Features) -> NDArray[np.float32]:
    """Squared length of each row, float32 [n]."""
    found: NDArray[np.float32] = np.einsum("nd,nd->n", features, features)
    return found


def _blocks(features: Features, others: Features) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Rows of ``features`` and their squared distances to all ``others``."""
    of_others = squares(others)
    step = max(1, BLOCK // max(len(others), 1))
    for start in range(0, len(features), step):
        rows = slice(start, start + step)
        block = features[rows] @ others.T
        block *= -2
        block += of_others
        block += squares(features[rows])[:, None]
        yield rows, np.maximum(block, 0, out=block)


def closest(features: Features, others: Features) -> tuple[Ids, NDArray[np.float32]]:
    """Index int64 [n] of the closest of ``others``, of which there is one or more, and its squared distance float32 [n]."""
    index, distance = np.empty(len(features), np.int64), np.empty(len(features), np.float32)
    for rows, block in _blocks(features, others):
        index[rows] = block.argmin(1)
        distance[rows] = block.min(1)
    return index, distance


def neighbours(features: Features, count: int) -> tuple[Ids, NDArray[np.float32]]:
    """Indices int64 [n, k] of each row's nearest other rows in no order, k = min(count, n - 1), and squared distances."""
    n = len(features)
    k = max(0, min(count, n - 1))
    index, distance = np.empty((n, k), np.int64), np.empty((n, k), np.float32)
    if not k:
        return index, distance
    for rows, block in _blocks(features, features):
        within = np.arange(len(block))
        block[within, rows.start + within] = np.inf
        index[rows] = np.argpartition(block, k - 1, axis=1)[:, :k]
        distance[rows] = np.take_along_axis(block, index[rows], axis=1)
    return index, distance
