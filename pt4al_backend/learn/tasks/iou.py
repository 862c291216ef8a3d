"""Intersection over union (Jaccard 1901): the pixels of a class in both prediction and truth, over those in either.

An image's tally is int64 [C, 3]: the pixels of each class in both, in the prediction, and in the truth. Pixels whose truth is
void count nowhere. Tallies of several images are added before they are divided, as in the published figures of segmentation; a
class in neither prediction nor truth has no value and is left out of the mean.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.learn.tasks.base import Interval, Metrics

DRAWS = 1000
SEED = 0
#: With fewer images an interval is all of 0 to 1: the bootstrap only repeats the few that it has.
LEAST_IMAGES = 5


def tally(predicted: NDArray[np.uint8], truth: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """The tally of one image; ids from ``classes`` on are void in the truth."""
    known = truth < classes
    guess, true = predicted[known], truth[known]
    areas = [np.bincount(each, minlength=classes)[:classes] for each in (true[guess == true], guess, true)]
    return np.stack(areas, 1).astype(np.int64)


def ratios(tallies: NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union, float64 [..., C], from added tallies [..., C, 3]; nan for a class that is nowhere."""
    both, predicted, true = np.moveaxis(tallies.astype(np.float64), -1, 0)
    union = predicted + true - both
    shares: NDArray[np.float64] = np.divide(both, union, out=np.full(union.shape, np.nan), where=union > 0)
    return shares


def metrics(tallies: NDArray[np.int64], classes: Sequence[str]) -> Metrics:
    """Mean and classes' intersection over union of images, tallies [n, C, 3], with percentile bootstrap intervals (95 %).

    The bootstrap draws images, n of n, so that its interval covers what other control picks would have given. With fewer than
    ``LEAST_IMAGES`` images intervals are 0 to 1, and so is that of a class that fewer images have, in prediction or truth.
    """
    total, each = len(tallies), ratios(tallies.sum(0))
    having = tallies.any(2).sum(0)  # images that have the class
    images = np.random.default_rng(SEED).multinomial(total, np.full(total, 1 / total), DRAWS) if total else np.empty((0, 0))
    drawn = ratios(np.tensordot(images, tallies, 1))
    return {
        "metric": "mIoU",
        **_value(_mean(each), _mean(drawn), total),
        "total": total,
        "classes": {name: _value(each[k], drawn[:, k], int(having[k])) for k, name in enumerate(classes)},
    }


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the classes that are there, float64 [...]."""
    there = ~np.isnan(values)
    mean: NDArray[np.float64] = np.where(there, values, 0).sum(-1) / np.where(there.any(-1), there.sum(-1), np.nan)
    return mean


def _value(value: NDArray[np.float64], drawn: NDArray[np.float64], images: int) -> Interval:
    if np.isnan(value):
        return {"value": None, "low": None, "high": None}
    low, high = (0.0, 1.0) if images < LEAST_IMAGES else np.nanpercentile(drawn, [2.5, 97.5])
    return {"value": float(value), "low": float(low), "high": float(high)}
