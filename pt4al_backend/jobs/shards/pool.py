"""The images of all shards as one pool: twins are found, and features are read where they lie, never all at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.jobs.shards import shard
from pt4al_backend.learn.evaluation import to_float16
from pt4al_backend.learn.frozen.feature_file import BLOCK
from pt4al_backend.learn.frozen.heads import Standard

#: The most images by which features are brought to mean 0 and deviation 1.
MOST_STANDARD = 8_000


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What became of the images of all shards, by their numbers.

    Attributes:
        frames: digests uint8 [n, 16] of their frames.
        kept: int64 [k], ascending, those of another frame than all before.
        copies: (number, that of the image that it is identical to).
        problems: why images cannot be read, and ``changed``: those that were others when they were listed.
    """

    frames: NDArray[np.uint8]
    kept: NDArray[np.int64]
    copies: list[tuple[int, int]]
    problems: dict[int, str]
    changed: list[int]

    @classmethod
    def of(cls, folders: Sequence[Path], size: int) -> "Outcomes":
        """Of all shards, of ``size`` images each; twins are found by sorting 16 bytes of each image."""
        frames = np.concatenate([shard.frames(folder) for folder in folders])
        notes = [(number * size, shard.notes(folder)) for number, folder in enumerate(folders)]
        problems = {first + row: text for first, each in notes for row, text in each.problems.items()}
        changed = [first + row for first, each in notes for row in each.changed]
        readable = np.ones(len(frames), np.bool_)
        readable[sorted(problems)] = False
        numbers = np.flatnonzero(readable)
        first = numbers[_firsts(frames[numbers])]
        is_copy = first != numbers
        copies = list(zip(numbers[is_copy].tolist(), first[is_copy].tolist(), strict=True))
        return cls(frames, numbers[~is_copy], copies, problems, changed)


def _firsts(marks: NDArray[np.uint8]) -> NDArray[np.int64]:
    """For each of the digests uint8 [n, 16] the first place int64 [n] that has the same."""
    pairs = np.ascontiguousarray(marks).view(np.uint64)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))  # stable: of equals the first comes first
    ordered = pairs[order]
    begins = np.ones(len(order), np.bool_)
    begins[1:] = (ordered[1:] != ordered[:-1]).any(1)
    firsts = np.empty(len(order), np.int64)
    firsts[order] = order[begins][np.cumsum(begins) - 1]
    return firsts


class Pool:
    """Features of images ``numbers`` int64 [k], ascending, of shards of ``size`` images each; what is read is freed again."""

    def __init__(self, folders: Sequence[Path], size: int, numbers: NDArray[np.int64]) -> None:
        self._folders, self._size, self._numbers = folders, size, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def turned(self, places: NDArray[np.int64]) -> Iterator[NDArray[np.float16]]:
        """Features float16 [b, 4, d] of four orientations at ascending places, block by block."""
        for folder, rows in self._cut(places):
            for start in range(0, len(rows), BLOCK):
                yield shard.turned(folder, rows[start : start + BLOCK])

    def upright(self, places: NDArray[np.int64]) -> NDArray[np.float16]:
        """Features float16 [m, d] of images as they are, at places in any order."""
        order = np.argsort(places, kind="stable")
        parts = [shard.upright(self._folders[0], slice(0))]
        parts += [shard.upright(folder, rows) for folder, rows in self._cut(places[order])]
        features = np.concatenate(parts)
        return features if (order == np.arange(len(order))).all() else features[np.argsort(order)]

    def _cut(self, places: NDArray[np.int64]) -> Iterator[tuple[Path, NDArray[np.int64]]]:
        """The folder of each shard that these are in, and their rows there."""
        numbers = self._numbers[places]
        bounds = np.searchsorted(numbers, self._size * np.arange(len(self._folders) + 1))
        for folder, start, (begin, end) in zip(self._folders, range(len(self._folders)), pairwise(bounds.tolist()), strict=True):
            if begin < end:
                yield folder, numbers[begin:end] - start * self._size


class Standardised:
    """Features of a pool, brought to mean 0 and deviation 1 by those of at most ``MOST_STANDARD`` images, as they are read."""

    def __init__(self, pool: Pool, rng: np.random.Generator) -> None:
        places = np.arange(len(pool))
        if len(pool) > MOST_STANDARD:
            places = np.sort(rng.choice(len(pool), MOST_STANDARD, replace=False))
        self._pool, self._standard = pool, Standard.of(pool.upright(places))

    def __len__(self) -> int:
        return len(self._pool)

    def __getitem__(self, places: NDArray[np.int64]) -> NDArray[np.float16]:
        features = self._pool.upright(places)
        for start in range(0, len(features), BLOCK):
            block = slice(start, start + BLOCK)
            features[block] = to_float16(self._standard(features[block]))
        return features
