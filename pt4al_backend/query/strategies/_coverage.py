"""Coverage by greedy picks: each adds most to what those before it cover. Herding and ProbCover differ in their kernel."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.strategies._lengths import of_unit_length
from pt4al_backend.query.strategies.base import Sizes
from pt4al_backend.threads import one_thread

Features = NDArray[np.float32]
Weights = NDArray[np.float32]
Indices = NDArray[np.int64]
#: Turns negative squared distances, float32[a, b], into the kernel's values; it may use their memory.
Kernel = Callable[[Features], Features]

#: Picks of each part of a larger pool, as a multiple of its share of all.
SHARES = 2
#: Tasks that are drawn for each pick that is made by their coverage: then comes another draw.
DRAWN_FOR_EACH = 4
#: Rows of the kernel that are computed at once, when all gains are found and when the largest are found again.
BLOCK, SMALL_BLOCK = 1_024, 32
#: The bounds among which the largest is looked for, until one of the others is larger.
WINDOW = 4_096
#: The most numbers of the kernel that are kept, 320 MB; of a larger one rows are computed whenever they are needed.
MOST_KEPT = 20_000 * 4_000


@dataclass(frozen=True)
class Limits:
    """How much of a pool is computed at once. Larger ones find better picks, and take more time and memory.

    Attributes:
        covered: the most tasks that count for whether a pick covers them; of a larger pool this many are drawn uniformly, again
            after a fourth as many picks.
        candidates: the most tasks that compete at once; a larger pool is parted.
        part: the most tasks of a part. By the defaults the kernel of a part can be kept (see ``MOST_KEPT``).
        least_picks: that a part makes, if so many are wanted at all.
    """

    covered: int = 4_000
    candidates: int = 100_000
    part: int = 20_000
    least_picks: int = 256


LIMITS = Limits()


def gaussian(squares: Features) -> Features:
    """exp(-|x - y|^2)."""
    return np.exp(squares, out=squares)


def ball(radius: float) -> Kernel:
    """1 where |x - y| is less than ``radius``, else 0."""

    def inside(squares: Features) -> Features:
        return (squares > -(radius**2)).astype(np.float32)

    return inside


def cover_greedily(
    features: Features,
    covered: Features,
    weights: Weights,
    sizes: Sizes,
    rng: np.random.Generator,
    kernel: Kernel,
    among: Indices | None = None,
    *,
    is_shuffled: bool = False,
    limits: Limits = LIMITS,
) -> Indices:
    """Picks tasks one after the other, each of which adds most to the weighted coverage by those before it.

    The cover c(x) of a task is its largest kernel with anything in ``covered`` or picked before. A pick y adds the sum over
    tasks x of w(x) max(0, k(x, y) - c(x)). Equal gains go to the lowest index. When nothing adds anything, what is left follows
    by index.

    The sum can only shrink as picks are made, so a gain that was computed earlier is a bound, and only the tasks with the
    largest bounds are computed again: the result is that of computing all. Memory O(n d), not O(n^2).

    What a pick of more than ``limits.covered`` tasks adds is the sum over a draw, which is another one after some picks.

    More than ``limits.candidates`` are parted at random. Each part picks twice its share of what is wanted, and of what the parts
    found the query is picked, then, with the query covered, the rest, over a draw of the whole pool: GreeDi (Mirzasoleiman,
    Karbasi, Sarkar and Krause, "Distributed submodular maximization", NeurIPS 2013), whose parts pick as many as are wanted of
    all. Time O(n), and memory that of one part and of what the parts found.

    Args:
        features: of the tasks, float32[n, d]; they are scaled to unit length.
        covered: features of what is covered from the start, float32[l, d].
        weights: w, float32[n].
        sizes: how many are wanted; the reserve changes nothing about the query before it.
        rng: draws what the limits leave out, and the parts.
        kernel: k(x, y), such as ``gaussian`` or ``ball``.
        among: the only ones that may be picked, int64[m], ascending; all n count for what a pick covers. None: any.
        is_shuffled: the order is random already, so that tasks next to each other are a part: ``features`` may then be
            anything that reads rows from files, of which each part needs few.
        limits: how much is computed at once.

    Returns:
        Indices int64[min(k, n)] into ``features``.
    """
    query, k = sizes
    among = np.arange(len(features)) if among is None else among
    if len(among) <= limits.candidates:
        return _in_stretches(features, among, covered, weights, k, rng, kernel, limits)
    parts = -(-len(among) // limits.part)
    orders = []
    for part in map(np.sort, np.array_split(among if is_shuffled else rng.permutation(among), parts)):
        own = np.random.default_rng(rng.integers(2**63))  # what it draws for a reserve changes no other part
        count, everything = _of_each(k, parts, limits), np.arange(len(part))
        orders.append(part[_in_stretches(features[part], everything, covered, weights[part], count, own, kernel, limits)])
    picks = np.empty(0, np.int64)
    for size in sorted({min(query, k), k}):  # once if there is no reserve
        found = np.setdiff1d(np.concatenate([order[: _of_each(size, parts, limits)] for order in orders]), picks)
        there = np.concatenate([covered, features[picks]])
        more = _in_stretches(features, found, there, weights, size - len(picks), rng, kernel, limits)
        picks = np.concatenate([picks, more])
    return picks


def _in_stretches(
    features: Features,
    among: Indices,
    covered: Features,
    weights: Weights,
    k: int,
    rng: np.random.Generator,
    kernel: Kernel,
    limits: Limits,
) -> Indices:
    """Picks ``among`` the tasks, by the coverage of a draw of all, which is another one for each stretch of picks.

    By one draw alone the last picks would be no better than random ones: as many as were drawn cover all that was drawn.
    """
    candidates = features if len(among) == len(features) else features[among]  # hundreds of megabytes are not copied
    k, places = min(k, len(among)), np.empty(0, np.int64)
    stretch = k if len(features) <= limits.covered else max(1, limits.covered // DRAWN_FOR_EACH)
    while len(places) < k:
        sampled = _sampled(len(features), limits.covered, rng)
        there = np.concatenate([covered, candidates[places]])
        size = min(stretch, k - len(places))
        more = _greedy(candidates, places, there, features[sampled], weights[sampled], size, kernel)
        places = np.concatenate([places, more])
    return among[places]


def _of_each(size: int, parts: int, limits: Limits) -> int:
    """How many each part picks where ``size`` are wanted of all."""
    return max(-(-SHARES * size // parts), min(size, limits.least_picks))


def _sampled(count: int, most: int, rng: np.random.Generator) -> Indices:
    """Those of ``count`` tasks whose coverage is summed, ``most`` at most, ascending."""
    return np.arange(count) if count <= most else np.sort(rng.choice(count, most, replace=False))


def _greedy(
    features: Features, taken: Indices, covered: Features, sampled: Features, weights: Weights, k: int, kernel: Kernel
) -> Indices:
    """k picks of ``features`` that are not ``taken``, by the coverage of what is ``sampled``, float32[t, d] of ``weights``."""
    points, targets = of_unit_length(features), of_unit_length(sampled)
    cover = np.zeros(len(targets), np.float32)
    for block in blocks(len(covered)):
        np.maximum(cover, kernel(negative_squares(of_unit_length(covered[block]), targets)).max(0), out=cover)
    values = _Values(points, targets, kernel)

    def gains(rows: Indices | slice) -> NDArray[np.float32]:
        added = values[rows] - cover
        return np.asarray(np.maximum(added, 0, out=added) @ weights, np.float32)

    bounds = np.concatenate([gains(block) for block in blocks(len(points))] or [np.empty(0, np.float32)])
    bounds[taken] = -np.inf
    picks = np.empty(k, np.int64)
    with one_thread():  # threads would wait for each other at each of many small products
        largest = _Largest(bounds, gains)
        for place in range(len(picks)):
            pick = picks[place] = largest.find()
            if bounds[pick] <= 0:  # as is every other
                left = np.flatnonzero(np.isfinite(bounds))
                return np.concatenate([picks[:place], left[: len(picks) - place]])
            np.maximum(cover, values[pick : pick + 1][0], out=cover)
            bounds[pick] = -np.inf
    return picks


class _Largest:
    """Finds the largest gain. ``bounds`` float32[n] become gains where these are computed; a pick's bound is minus infinity."""

    def __init__(self, bounds: NDArray[np.float32], gains: Callable[[Indices], NDArray[np.float32]]) -> None:
        self._bounds, self._gains = bounds, gains
        self._look()

    def find(self) -> int:
        """The index of the largest gain, the lowest of equals."""
        fresh = np.zeros(len(self._bounds), np.bool_)
        while True:
            seen = self._bounds[self._window]
            best = int(self._window[seen.argmax()])
            if self._bounds[best] < self._least:
                self._look()
            elif fresh[best]:
                return best
            else:
                count = min(SMALL_BLOCK, len(seen))
                rows = self._window[np.sort(np.argpartition(-seen, count - 1)[:count])]
                rows = rows[~fresh[rows] & np.isfinite(self._bounds[rows])]
                rows = rows if best in rows else np.append(rows, best)
                self._bounds[rows] = np.minimum(self._bounds[rows], self._gains(rows))  # rounding must not raise a bound
                fresh[rows] = True

    def _look(self) -> None:
        """Chooses the largest bounds, with all that equal the least of them: to look through all for each pick takes longer."""
        count = min(WINDOW, len(self._bounds))
        self._least = np.partition(self._bounds, len(self._bounds) - count)[len(self._bounds) - count] if count else 0.0
        self._window = np.flatnonzero(self._bounds >= self._least)


class _Values:
    """Rows float32[b, t] of a kernel of points with targets; all of them are kept where there are few."""

    def __init__(self, points: Features, targets: Features, kernel: Kernel) -> None:
        self._points, self._targets, self._kernel = points, targets, kernel
        self._lengths, self._target_lengths = _squared(points), _squared(targets)
        self._kept: Features | None = None
        if len(points) * len(targets) <= MOST_KEPT:
            self._kept = np.empty((len(points), len(targets)), np.float32)
            for block in blocks(len(points)):
                self._kept[block] = self._computed(block)

    def __getitem__(self, rows: Indices | slice) -> Features:
        return self._computed(rows) if self._kept is None else self._kept[rows]

    def _computed(self, rows: Indices | slice) -> Features:
        lengths = self._lengths[rows], self._target_lengths
        return self._kernel(_negative_squares(self._points[rows], self._targets, *lengths))


def negative_squares(points: Features, others: Features) -> Features:
    """-|x - y|^2, at most 0, float32[a, b] for points float32[a, d] and [b, d] of unit length, or zeros."""
    return _negative_squares(points, others, _squared(points), _squared(others))


def _squared(points: Features) -> NDArray[np.float32]:
    return np.asarray(np.einsum("nd,nd->n", points, points), np.float32)


def _negative_squares(
    points: Features, others: Features, lengths: NDArray[np.float32], other_lengths: NDArray[np.float32]
) -> Features:
    found = points @ others.T
    found *= 2  # in place: writing new matrices takes longer than multiplying
    found -= lengths[:, None]
    found -= other_lengths
    squares: Features = np.minimum(found, 0, out=found)
    return squares


def blocks(count: int) -> list[slice]:
    """Slices of ``BLOCK`` rows."""
    return [slice(start, start + BLOCK) for start in range(0, count, BLOCK)]
