"""The pool in two dimensions: images that an encoder finds alike lie near each other.

Features are scaled to unit length and reduced to their main directions; t-SNE (van der Maaten and Hinton, 2008) finds the
positions, by openTSNE (Poličar, Stražar and Zupan, 2024), which also places later images among those that lie there already.
The same features and the same seed give the same layout on one machine. Distances between far groups mean nothing.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.neighbour_index import NeighbourIndex

log = logging.getLogger(__name__)

#: Main directions that neighbours are found by, and images that these are found from.
DIRECTIONS, SAMPLE = 50, 20_000
#: Images that are read, and that are placed, at a time.
BLOCK = 2_048
#: Neighbours that an image is held near: half of what is usual, since on large pools it costs half and shows the same groups.
PERPLEXITY = 15
#: Below this t-SNE has too little to arrange and may end with all images in one place: positions are the two main directions.
LEAST = 50
#: Steps with the pull of neighbours exaggerated, then without; and between two reports.
EARLY, LATE, REPORT_EVERY = 250, 500, 25
_FILE = "layout.npz"

#: Reads features [m, d] of images by their positions int64 [m].
Read = Callable[[NDArray[np.int64]], NDArray[np.floating]]
#: Gets the share 0..1 that is done.
Report = Callable[[float], None]


class NotFinite(ValueError):
    """Some features are no finite numbers; ``positions`` int64 [k] are those of their images."""

    def __init__(self, positions: NDArray[np.int64]) -> None:
        super().__init__(f"the features of {len(positions)} images are no finite numbers")
        self.positions = positions


@dataclass(frozen=True, eq=False)
class Layout:
    """Where images lie, and what it takes to place later ones.

    Attributes:
        positions: float32 [n, 2], around 0.
        reduced: float32 [n, c], the images along the main directions.
        mean: float32 [d], of features of unit length.
        directions: float32 [c, d].
    """

    positions: NDArray[np.float32]
    reduced: NDArray[np.float32]
    mean: NDArray[np.float32]
    directions: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.positions)

    @classmethod
    def of(cls, read: Read, images: int, seed: int, report: Report) -> Self:
        """Lays out ``images`` images, at least one. Memory grows by some kilobytes an image, whatever d is.

        Raises:
            NotFinite: some features are no finite numbers.
        """
        rng = np.random.default_rng(seed)
        sample = np.sort(rng.choice(images, min(images, SAMPLE), replace=False))
        mean, directions = _main_directions(_unit(read, sample), seed)
        reduced = _reduce(read, images, mean, directions)
        report(0.05)
        return cls(_centred(_arranged(reduced, seed, report)), reduced, mean, directions)

    def with_later(self, read: Read, images: int, seed: int) -> Self:
        """The same images where they are, and ``images`` later ones behind them, each beside what it is most alike.

        Raises:
            NotFinite: some features are no finite numbers.
        """
        later = _reduce(read, images, self.mean, self.directions)
        found = _placed(self, later, seed) if len(self) >= LEAST else _plain(later)
        positions = np.concatenate([self.positions, found.astype(np.float32)])
        return type(self)(positions, np.concatenate([self.reduced, later]), self.mean, self.directions)

    def where(self, kept: NDArray[np.bool_]) -> Self:
        """Those images for which ``kept`` bool [n] holds."""
        return type(self)(self.positions[kept], self.reduced[kept], self.mean, self.directions)

    def save(self, folder: Path) -> None:
        """Writes it into a folder."""
        np.savez(folder / _FILE, **vars(self))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what ``save`` wrote.

        Raises:
            OSError, ValueError, KeyError: it is missing or damaged.
        """
        with (folder / _FILE).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return cls(*(arrays[name] for name in cls.__dataclass_fields__))


def _blocks(images: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, images, BLOCK):
        yield np.arange(start, min(start + BLOCK, images))


def _unit(read: Read, positions: NDArray[np.int64]) -> NDArray[np.float32]:
    """Features float32 [m, d] of unit length; those that are all zero stay so."""
    features = read(positions).astype(np.float32)
    broken = ~np.isfinite(features).all(1)
    if broken.any():
        raise NotFinite(positions[broken])
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    features /= np.where(lengths > 0, lengths, 1)
    return features


def _main_directions(sample: NDArray[np.float32], seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean [d] and main directions [c, d] of a sample [m, d]."""
    from sklearn.decomposition import PCA  # here, because a web process that only reads a layout need not spend a second

    if len(sample) == 1:
        return sample[0], np.empty((0, sample.shape[1]), np.float32)
    found = PCA(min(DIRECTIONS, *sample.shape), random_state=seed)
    with np.errstate(invalid="ignore"):  # identical features have no variance to divide by
        found.fit(sample)
    return found.mean_.astype(np.float32), found.components_.astype(np.float32)


def _reduce(read: Read, images: int, mean: NDArray[np.float32], directions: NDArray[np.float32]) -> NDArray[np.float32]:
    reduced = np.empty((images, len(directions)), np.float32)
    for block in _blocks(images):
        reduced[block] = (_unit(read, block) - mean) @ directions.T
    return reduced


def _plain(reduced: NDArray[np.float32]) -> NDArray[np.float32]:
    """The first two main directions [n, 2], 0 where there are fewer."""
    positions = np.zeros((len(reduced), 2), np.float32)
    positions[:, : reduced.shape[1]] = reduced[:, :2]
    return positions


def _centred(positions: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.asarray(positions - (positions.max(0) + positions.min(0)) / 2, np.float32)


def _arranged(reduced: NDArray[np.float32], seed: int, report: Report) -> NDArray[np.floating]:
    """Positions [n, 2] by t-SNE."""
    if len(reduced) < LEAST:
        return _plain(reduced)
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN

    start = _plain(reduced).astype(np.float64)
    start *= 1e-4 / max(float(start[:, 0].std()), 1e-12)
    start += np.random.default_rng(seed).normal(scale=1e-6, size=start.shape)  # identical images, which nothing would part
    perplexity = _perplexity(len(reduced))
    affinities = PerplexityBasedNN(perplexity=perplexity, knn_index=_index(reduced, perplexity), n_jobs=1)
    report(0.25)
    done = 0

    def note(iteration: int, *_: Any) -> None:
        report(0.25 + 0.75 * min((done + iteration) / (EARLY + LATE), 1.0))

    embedding = TSNEEmbedding(start, affinities, random_state=seed, n_jobs=1, callbacks=note, callbacks_every_iters=REPORT_EVERY)
    embedding.optimize(EARLY, exaggeration=12, momentum=0.5, learning_rate="auto", inplace=True)
    done = EARLY
    embedding.optimize(LATE, momentum=0.8, learning_rate="auto", inplace=True)
    return np.asarray(embedding)


def _placed(layout: Layout, later: NDArray[np.float32], seed: int) -> NDArray[np.floating]:
    """Positions [m, 2] of later images among those of a layout, by openTSNE's ``transform``."""
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN

    perplexity = min(5.0, _perplexity(len(layout)))
    affinities = PerplexityBasedNN(perplexity=perplexity, knn_index=_index(layout.reduced, perplexity), n_jobs=1)
    embedding = TSNEEmbedding(layout.positions.astype(np.float64), affinities, random_state=seed, n_jobs=1)
    moved = (embedding.max(0) + embedding.min(0)) / 2  # transform centres what is there
    found = [np.asarray(embedding.transform(later[block], perplexity=perplexity)) for block in _blocks(len(later))]
    return np.asarray(np.concatenate(found) + np.asarray(moved))


def _index(reduced: NDArray[np.float32], perplexity: float) -> Any:
    """The neighbours of images along the main directions, float32 [n, c], in the form that openTSNE asks them in."""
    from openTSNE.nearest_neighbors import KNNIndex

    index = NeighbourIndex(reduced)

    class Index(KNNIndex):  # type: ignore[misc]
        VALID_METRICS = ("euclidean",)

        def build(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
            distances, places = index.others(np.arange(len(index)), self.k)
            return places, distances

        def query(self, query: NDArray[np.floating], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
            distances, places = index.of(np.asarray(query, np.float32), k)
            return places, distances

    return Index(reduced, min(len(reduced) - 1, int(3 * perplexity)))


def _perplexity(images: int) -> float:
    """Neighbours that an image can be held near, where there are few."""
    return min(PERPLEXITY, (images - 1) / 3)
