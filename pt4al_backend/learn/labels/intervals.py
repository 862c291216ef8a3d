"""95 % intervals of what is measured on images that were drawn uniformly: Wilson's for shares, the bootstrap's for all else."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pt4al_backend import wilson
from pt4al_backend.learn.labels.base import ClassInterval, Interval, Metrics

DRAWS = 1000
SEED = 0
#: With fewer images a bootstrap interval is all of 0 to 1: it only repeats the few that there are.
LEAST_IMAGES = 5

_TOGETHER = 100  # draws that are counted at a time: memory stays flat


def share(hits: NDArray[np.integer]) -> Interval:
    """The share of images that are right, 1 or 0 for each [n], and its Wilson score interval."""
    total = len(hits)
    if not total:
        return {"value": None, "low": None, "high": None}
    value = float(hits.mean())
    low, high = wilson.bounds(value, total)
    return {"value": value, "low": low, "high": high}


def of_class(interval: Interval, picks: int) -> ClassInterval:
    """The metric of a class that so many images have."""
    return {"value": interval["value"], "low": interval["low"], "high": interval["high"], "picks": picks}


def measured(metric: str, interval: Interval, total: int) -> Metrics:
    """A metric of that name over ``total`` images."""
    return {"metric": metric, "value": interval["value"], "low": interval["low"], "high": interval["high"], "total": total}


def draws(total: int) -> Iterator[NDArray[np.int64]]:
    """How often each of ``total`` images is in each of ``DRAWS`` draws of as many, int64 [some, total]; the same each time."""
    rng = np.random.default_rng(SEED)
    for _ in range(DRAWS // _TOGETHER):
        yield rng.multinomial(total, np.full(total, 1 / total), _TOGETHER) if total else np.empty((_TOGETHER, 0), np.int64)


def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the classes that have a value, float64 [..., C] -> [...]; nan where none has."""
    there = ~np.isnan(values)
    found: NDArray[np.float64] = np.where(there, values, 0).sum(-1) / np.where(there.any(-1), there.sum(-1), np.nan)
    return found


def bootstrapped(value: NDArray[np.float64] | float, drawn: NDArray[np.float64], images: int) -> Interval:
    """A value of ``images`` images, and the percentile interval of what the draws give, float64 [DRAWS]; None for nan."""
    if np.isnan(value):
        return {"value": None, "low": None, "high": None}
    low, high = (0.0, 1.0) if images < LEAST_IMAGES else np.nanpercentile(drawn, [2.5, 97.5])
    return {"value": float(value), "low": float(low), "high": float(high)}
