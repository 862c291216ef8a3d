"""Near-duplicates: groups of images whose features point the same way.

Two images are near-duplicates if the cosine of their features, less the pool's mean, is ``THRESHOLD`` or more. A group is what
hangs together by such pairs, so its outer members may be less alike. Of each image at most ``NEAREST`` others are compared.

No image is compared with every other at full width. The features are projected on the ``WIDTH`` directions in which a sample of
them varies most. A projection only shortens distances, so whatever is near stays near: the nearest are found there (see
``pt4al_backend.neighbour_index``), block by block, and only these pairs are compared at full width. Memory is n times ``WIDTH``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.analysis.nearest_labelled import unit
from pt4al_backend.neighbour_index import NeighbourIndex

#: Cosine from which two images are near-duplicates. All of 36 pairs from 0.91 up that were looked at in Caltech-101, by
#: tf_efficientnet_lite0, show one picture, cropped, mirrored or compressed; below, pairs begin to be of one kind only.
THRESHOLD = 0.93
#: Others that an image is compared with.
NEAREST = 8
#: Directions that features are projected on, and the images that these are found by.
WIDTH, SAMPLE = 64, 2_000
BLOCK = 1_024
#: What rounding may add to a squared distance.
SLACK = 1e-3

#: Reads features [m, d] of positions int64 [m].
Read = Callable[[NDArray[np.int64]], NDArray[np.floating]]


@dataclass(frozen=True, eq=False)
class Groups:
    """Images that have a near-duplicate, group by group, the largest first.

    Attributes:
        positions: int64 [m], ascending within a group.
        groups: 0.. of each, int64 [m].
        cosines: float32 [m], to the nearest of the same group.
    """

    positions: NDArray[np.int64]
    groups: NDArray[np.int64]
    cosines: NDArray[np.float32]


def find(read: Read, count: int, pause: Callable[[], None] = lambda: None, *, threshold: float = THRESHOLD) -> Groups:
    """The groups among ``count`` images, of which ``read`` gives the features.

    ``pause`` is called between blocks: it may raise to give up.
    """
    if count < 2:
        return _grouped(np.empty((0, 2), np.int64), np.empty(0, np.float32), count)
    centre = _centre(read, count, pause)
    pairs, cosines = [np.empty((0, 2), np.int64)], [np.empty(0, np.float32)]
    for candidates in _candidates(read, count, centre, threshold, pause):
        found = _cosines(read, candidates, centre)
        near = found >= threshold
        pairs.append(candidates[near])
        cosines.append(found[near])
    return _grouped(np.concatenate(pairs), np.concatenate(cosines), count)


def _blocks(count: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, count, BLOCK):
        yield np.arange(start, min(start + BLOCK, count))


def _centre(read: Read, count: int, pause: Callable[[], None]) -> NDArray[np.float64]:
    total: NDArray[np.float64] | float = 0.0
    for positions in _blocks(count):
        pause()
        total = total + read(positions).sum(0, dtype=np.float64)
    return np.asarray(total / count)


def _candidates(
    read: Read, count: int, centre: NDArray[np.float64], threshold: float, pause: Callable[[], None]
) -> Iterator[NDArray[np.int64]]:
    """Pairs int64 [k, 2], the lower position first, that may be near, block by block; a pair may come twice."""
    sample = np.unique(np.linspace(0, count - 1, min(count, SAMPLE)).astype(np.int64))
    _, _, directions = np.linalg.svd(unit(read(sample), centre), full_matrices=False)
    projected = np.empty((count, min(WIDTH, len(directions))), np.float32)
    for positions in _blocks(count):
        pause()
        projected[positions] = unit(read(positions), centre) @ directions[: projected.shape[1]].T
    index = NeighbourIndex(projected)
    for positions in _blocks(count):
        pause()
        distances, others = index.others(positions, min(NEAREST, count - 1))
        near = distances**2 <= 2 - 2 * threshold + SLACK
        pairs = np.stack([np.broadcast_to(positions[:, None], others.shape)[near], others[near]], axis=1)
        yield np.unique(np.sort(pairs, axis=1), axis=0)


def _cosines(read: Read, pairs: NDArray[np.int64], centre: NDArray[np.float64]) -> NDArray[np.float32]:
    """Cosines float32 [k] of pairs, which share many images."""
    positions, place = np.unique(pairs, return_inverse=True)
    if not len(pairs):
        return np.empty(0, np.float32)
    features = unit(read(positions), centre)
    place = place.reshape(pairs.shape)
    found = np.empty(len(pairs), np.float32)
    for block in _blocks(len(pairs)):
        first, second = features[place[block, 0]], features[place[block, 1]]
        found[block] = np.einsum("kd,kd->k", first, second)
    return found


def _grouped(pairs: NDArray[np.int64], cosines: NDArray[np.float32], count: int) -> Groups:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs), np.bool_), (pairs[:, 0], pairs[:, 1])), (count, count))
    _, component = connected_components(links, directed=False)
    nearest = np.zeros(count, np.float32)
    for side in (0, 1):
        np.maximum.at(nearest, pairs[:, side], cosines)
    members = np.unique(pairs)
    sizes = np.bincount(component[members], minlength=component.max() + 1 if count else 0)
    order = np.lexsort((members, component[members], -sizes[component[members]]))
    positions = members[order]
    starts = np.diff(component[positions], prepend=-1) != 0
    return Groups(positions, np.cumsum(starts) - 1, nearest[positions])
