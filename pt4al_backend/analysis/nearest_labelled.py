"""The nearest labelled images: which they are, and their votes, a head for more classes than a logistic one can take."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.neighbour_index import NeighbourIndex

#: Neighbours that vote.
VOTERS = 10


class NeighbourVotes:
    """Posteriors of an image: the share of its nearest labelled images that have each class, by cosine.

    Args:
        features: of the labelled images, [n, d].
        targets: numbers of their classes, int64 [n].
        classes: C.
        centre: is taken from all features, [d].
    """

    def __init__(
        self, features: NDArray[np.floating], targets: NDArray[np.int64], classes: int, centre: NDArray[np.floating]
    ) -> None:
        self._targets, self._classes, self._centre = targets, classes, centre
        self._index = NeighbourIndex(unit(features, centre))

    def __call__(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Posteriors float64 [m, C] of features [m, d]."""
        _, nearest = self._index.of(unit(features, self._centre), min(VOTERS, len(self._index)))
        found = np.zeros((len(features), self._classes))
        np.add.at(found, (np.arange(len(features))[:, None], self._targets[nearest]), 1 / nearest.shape[1])
        return found


def unit(features: NDArray[np.floating], centre: NDArray[np.floating]) -> NDArray[np.float32]:
    """Features less a centre, of unit length: float32 [n, d]. What lies on the centre stays zero."""
    shifted = features.astype(np.float32) - centre.astype(np.float32)
    lengths = np.linalg.norm(shifted, axis=1, keepdims=True)
    return np.asarray(shifted / np.where(lengths > 0, lengths, 1), np.float32)


def nearest(
    features: NDArray[np.floating],
    known: Iterable[NDArray[np.floating]],
    itself: NDArray[np.int64],
    centre: NDArray[np.floating],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The most alike among known images, by cosine.

    Args:
        features: of the images asked about, [m, d].
        known: features of the known ones, block by block, [n, d] in all.
        itself: the place of each image among the known ones, which is not its own neighbour: int64 [m], -1 if it is none.
        centre: is taken from all features, [d].

    Returns:
        Places int64 [m] among the known ones, -1 where there is none, and their cosines float32 [m].
    """
    asked = unit(features, centre)
    places, cosines = np.full(len(asked), -1, np.int64), np.full(len(asked), -np.inf, np.float32)
    first = 0
    for block in known:
        found = asked @ unit(block, centre).T
        own = np.flatnonzero((itself >= first) & (itself < first + len(block)))
        found[own, itself[own] - first] = -np.inf
        best = found.argmax(1)
        cosine = found[np.arange(len(asked)), best]
        nearer = cosine > cosines
        places[nearer], cosines[nearer] = first + best[nearer], cosine[nearer]
        first += len(block)
    return places, cosines
