"""Nearest neighbours among points, by Euclidean distance; of points of unit length these are the most alike by cosine.

Up to ``EXACT`` points all are compared. Of more, faiss (Douze et al., "The Faiss library", 2024) deals them out to lists around
centres that k-means finds, and compares what is asked about with the ``PROBED`` nearest lists. What it finds it compares exactly.
docs/numbers.md has the share of the true neighbours that are found, and what it costs. One thread and a fixed seed: the same
points give the same answer on one machine. Memory is that of the points, twice.
"""

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.threads import one_thread

#: Points up to which all are compared.
EXACT = 20_000
#: Lists by the square root of the points, lists that are looked through, and points of each that centres are found by.
LISTS, PROBED, SAMPLED = 1, 32, 64

Points = NDArray[np.float32]
Places = NDArray[np.int64]


class NeighbourIndex:
    """An index of ``points`` float32 [n, d].

    Raises:
        ValueError: some are no finite numbers.
    """

    def __init__(self, points: Points) -> None:
        # Imported where it is needed: half a second, which processes that only check settings need not spend.
        import faiss

        if not np.isfinite(points).all():
            raise ValueError("Points should be finite numbers.")
        self._points = np.ascontiguousarray(points, np.float32)
        count, width = points.shape
        flat, self._in_lists = faiss.IndexFlatL2(width), None
        if count > EXACT:
            self._in_lists = faiss.IndexIVFFlat(flat, width, int(LISTS * count**0.5))
            self._in_lists.cp.max_points_per_centroid = SAMPLED
        self._index = flat if self._in_lists is None else self._in_lists
        with one_thread():
            self._index.train(self._points)
            self._index.add(self._points)

    def __len__(self) -> int:
        return len(self._points)

    def of(self, asked: Points, count: int) -> tuple[NDArray[np.float32], Places]:
        """Distances float32 [m, count] of others, ``asked`` float32 [m, d], to their nearest points, and the places of these.

        Nearest first; ``count`` is n at most.
        """
        asked = np.ascontiguousarray(asked, np.float32)
        with one_thread():
            if self._in_lists is not None:
                self._in_lists.nprobe = PROBED
            squares, places = self._index.search(asked, count)
            few = np.flatnonzero((places < 0).any(1))  # the lists that were looked through hold fewer
            if self._in_lists is not None and len(few):
                self._in_lists.nprobe = self._in_lists.nlist
                squares[few], places[few] = self._index.search(asked[few], count)
        return np.sqrt(np.maximum(squares, 0)), places

    def others(self, places: Places, count: int) -> tuple[NDArray[np.float32], Places]:
        """The same of points of its own, by their ``places`` int64 [m]: none is its own neighbour; ``count`` is n - 1 at most."""
        distances, found = self.of(self._points[places], count + 1)
        out = found == places[:, None]
        out[~out.any(1), -1] = True  # so many lie in its place that it is not among them
        return distances[~out].reshape(len(places), count), found[~out].reshape(len(places), count)
