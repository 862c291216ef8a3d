"""Intersection over union (Jaccard 1901): the pixels of a class in both prediction and truth, over those in either.

An image's tally is int64 [C, 3]: the pixels of each class in both, in the prediction, and in the truth. Pixels whose truth is
void count nowhere. Tallies of several images are added before they are divided, as in the published figures of segmentation; a
class in neither prediction nor truth has no value and is left out of the mean.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.learn.labels import intervals
from pt4al_backend.learn.labels.base import Metrics


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
    ``intervals.LEAST_IMAGES`` images intervals are 0 to 1, and so is that of a class that fewer images have, in prediction or
    truth.
    """
    total, each = len(tallies), ratios(tallies.sum(0))
    having = tallies.any(2).sum(0)  # images that have the class, in prediction or truth
    labelled = (tallies[:, :, 2] > 0).sum(0)  # in truth
    drawn = np.concatenate([ratios(np.tensordot(times, tallies, 1)) for times in intervals.draws(total)])
    return {
        **intervals.measured("mIoU", intervals.bootstrapped(intervals.mean(each), intervals.mean(drawn), total), total),
        "classes": {
            name: intervals.of_class(intervals.bootstrapped(each[k], drawn[:, k], int(having[k])), int(labelled[k]))
            for k, name in enumerate(classes)
        },
    }
