"""Spearman's rank correlation of two losses of the same images, with a bootstrap interval. Pure.

Equal values share the mean of their ranks; rho is Pearson's correlation of the ranks. An interval is that of percentiles over
resamples of the images (Efron 1979), each of which is ranked again.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.aliases import Ids

Values = NDArray[np.float64]

RESAMPLES = 1000
LEVEL = 0.95
CHUNK = 2_000_000  # numbers that are held at a time


@dataclass(frozen=True)
class Correlation:
    """Of ``n`` images: rho and its 95 % interval, and the mean of rho within each class; None where all values are equal."""

    n: int
    rho: float | None
    low: float | None
    high: float | None
    within: float | None

    @classmethod
    def of(cls, ones: Values, others: Values, classes: NDArray[np.str_], seed: int = 0) -> Self:
        """Of two losses [n] of images with classes [n]; ``seed`` is that of the resamples."""
        rho, (low, high) = spearman(ones, others), interval(ones, others, seed)
        rhos = [spearman(ones[classes == name], others[classes == name]) for name in np.unique(classes)]
        known = [rho for rho in rhos if not math.isnan(rho)]
        within = float(np.mean(known)) if known else None
        return cls(len(ones), _known(rho), _known(low), _known(high), within)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def ranks(values: Values) -> Values:
    """Ranks from 1 to n; equal values share their mean."""
    found: Values = _ranks(values, np.ones((1, len(values)), np.int64))[0]
    return found


def spearman(ones: Values, others: Values) -> float:
    """Rho of two series [n]; NaN if one of them has no two different values."""
    return float(_rhos(ones, others, np.ones((1, len(ones)), np.int64))[0])


def interval(ones: Values, others: Values, seed: int, resamples: int = RESAMPLES) -> tuple[float, float]:
    """The 95 % interval of rho; NaN if no resample has one."""
    rng, n = np.random.default_rng(seed), len(ones)
    found: list[float] = []
    while len(found) < resamples and n:
        count = min(max(1, CHUNK // n), resamples - len(found))
        draws = rng.integers(0, n, (count, n)) + n * np.arange(count)[:, None]
        copies = np.bincount(draws.ravel(), minlength=count * n).reshape(count, n)
        found += _rhos(ones, others, copies).tolist()
    known = [rho for rho in found if not math.isnan(rho)]
    if not known:
        return math.nan, math.nan
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    return low, high


def _ranks(values: Values, copies: Ids) -> Values:
    """Ranks [b, n] in samples that hold ``copies`` int64 [b, n] of each of the values [n]: nothing is sorted again."""
    if not len(values):
        return np.empty(copies.shape)
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    firsts = np.flatnonzero(np.diff(group[order], prepend=-1))
    sizes = np.add.reduceat(copies[:, order], firsts, axis=1)
    found: Values = (np.cumsum(sizes, axis=1) - (sizes - 1) / 2)[:, group]
    return found


def _rhos(ones: Values, others: Values, copies: Ids) -> Values:
    """Rho [b] of samples that hold ``copies`` [b, n] of each pair."""
    middle = (copies.sum(axis=1, keepdims=True) + 1) / 2
    one, other = (_ranks(values, copies) - middle for values in (ones, others))
    product, first, second = (np.einsum("bn,bn,bn->b", copies, a, b) for a, b in ((one, other), (one, one), (other, other)))
    scale = np.sqrt(first * second)
    found: Values = np.divide(product, scale, out=np.full(len(copies), np.nan), where=scale > 0)
    return found
