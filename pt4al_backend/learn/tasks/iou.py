"""Intersection over union (Jaccard 1901): how far the areas of a class in prediction and truth are the same.

An image's tally is int64 [C, 3]: of each class the pixels that both give it, that the prediction gives it, and that the truth
gives it. Pixels whose truth is void count nowhere. Tallies of several images are added before they are divided, as the
published figures of segmentation are; a class in neither prediction nor truth has no value and is left out of the mean.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
SEED = 0
#: Images below which an interval is all of 0 to 1: the bootstrap only repeats the few that it is given.
LEAST_IMAGES = 5

Value = dict[str, float | None]


def tally(predicted: NDArray[np.uint8], truth: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """The tally of one image; ids from ``classes`` on are void in the truth."""
    known = truth < classes
    said, true = predicted[known], truth[known]
    areas = [np.bincount(each, minlength=classes)[:classes] for each in (true[said == true], said, true)]
    return np.stack(areas, 1).astype(np.int64)


def overlaps(tallies: NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union, float64 [..., C], from added tallies [..., C, 3]; nan for a class that is nowhere."""
    both, said, true = np.moveaxis(tallies.astype(np.float64), -1, 0)
    union = said + true - both
    shares: NDArray[np.float64] = np.divide(both, union, out=np.full(union.shape, np.nan), where=union > 0)
    return shares


def measured(tallies: NDArray[np.int64], classes: Sequence[str]) -> dict[str, Any]:
    """Mean and classes' intersection over union of images, tallies [n, C, 3], with percentile bootstrap intervals (95 %).

    The bootstrap draws images, n of n, so that it tells what other control picks would have given. Fewer images than
    `LEAST_IMAGES` are too few to say anything: their intervals are 0 to 1, and so is that of a class that prediction and truth
    give pixels in fewer.
    """
    total, each = len(tallies), overlaps(tallies.sum(0))
    having = tallies.any(2).sum(0)  # images that have the class
    images = np.random.default_rng(SEED).multinomial(total, np.full(total, 1 / total), DRAWS) if total else np.empty((0, 0))
    drawn = overlaps(np.tensordot(images, tallies, 1))
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


def _value(value: NDArray[np.float64], drawn: NDArray[np.float64], images: int) -> Value:
    if np.isnan(value):
        return {"value": None, "low": None, "high": None}
    low, high = (0.0, 1.0) if images < LEAST_IMAGES else np.nanpercentile(drawn, [2.5, 97.5])
    return {"value": float(value), "low": float(low), "high": float(high)}
