"""Mean average precision: how well each class's posteriors rank the images that have it before those that have it not.

A class's average precision is the sum over its thresholds of precision times the gain in recall, images of one posterior
together (as ``sklearn.metrics.average_precision_score`` has it). An image's tally is float64 [2, C]: its posteriors, and 1 for
each class that it has. A class that no image has, has no value and is left out of the mean.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.learn.labels import intervals
from pt4al_backend.learn.labels.base import Metrics


def values(tallies: NDArray[Any], times: NDArray[np.integer]) -> NDArray[np.float64]:
    """Average precisions float64 [d, C] of images, tallies [n, 2, C], each of which counts ``times`` [d, n]; nan without any."""
    posteriors, truths = tallies[:, 0], tallies[:, 1]
    found = np.full((len(times), posteriors.shape[1]), np.nan)
    for k in np.flatnonzero(truths.any(0)):
        order = np.argsort(-posteriors[:, k], kind="stable")
        sorted_ = posteriors[order, k]
        ends = np.flatnonzero(np.append(sorted_[1:] != sorted_[:-1], True))  # of images with one posterior, the last
        counted = times[:, order]
        right = np.cumsum(counted * truths[order, k], axis=1)[:, ends]
        shown = np.cumsum(counted, axis=1)[:, ends]
        precision = right / np.maximum(shown, 1)
        total = right[:, -1]
        gains = np.diff(right, axis=1, prepend=0)
        np.divide((gains * precision).sum(1), total, out=found[:, k], where=total > 0)
    return found


def metrics(tallies: NDArray[Any], classes: Sequence[str]) -> Metrics:
    """Mean and classes' average precision of images, tallies [n, 2, C], with percentile bootstrap intervals (95 %).

    The bootstrap draws images, n of n. With fewer than ``intervals.LEAST_IMAGES`` images intervals are 0 to 1, and so is that of
    a class that fewer have.
    """
    total = len(tallies)
    each = values(tallies, np.ones((1, total), np.int64))[0]
    drawn = np.concatenate([values(tallies, times) for times in intervals.draws(total)])
    having = tallies[:, 1].sum(0)
    return {
        **intervals.measured("mAP", intervals.bootstrapped(intervals.mean(each), intervals.mean(drawn), total), total),
        "classes": {
            name: intervals.of_class(intervals.bootstrapped(each[k], drawn[:, k], int(having[k])), int(having[k]))
            for k, name in enumerate(classes)
        },
    }
