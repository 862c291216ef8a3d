"""The rule by which the labels tell whether to train a pretrained encoder too, or only the head on its features.

Labels are cut into ``FOLDS`` parts. Each part is answered by a head and by a whole network that have learned the others, so no
image is answered by a model that has learned it. Both answer the same images, so the two are compared image by image: training
the encoder as well wins if it is right more often by more than one standard error of the mean difference. Else the head wins,
which has always learned the newest labels.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

FOLDS = 3
#: Labels from which on there is something to compare, and by how much they grow before it is compared again.
LEAST_LABELS = 30
GROWTH = 1.5
#: By how much labels grow before the model that won is trained on them again.
FULL_GROWTH = 1.25
#: Labels that are compared at most, drawn at random: so many tell a difference of a few points, and bound what it costs.
MOST_LABELS = 300


def is_due(labels: int, compared: int) -> bool:
    """Whether that many labels deserve a comparison, after one of ``compared`` labels; 0: there was none."""
    return labels >= max(LEAST_LABELS, GROWTH * compared)


def is_outgrown(labels: int, learned: int) -> bool:
    """Whether that many labels deserve another fully trained model, after one of ``learned`` labels; 0: there was none."""
    return labels >= FULL_GROWTH * learned


def folds(targets: NDArray[Any], seed: int) -> NDArray[np.int64]:
    """The part 0..FOLDS-1 of each label, int64 [n], of targets [n, ...].

    Equal targets are spread over the parts as evenly as can be, and the parts are of equal size, give or take one. A class with
    one label is in one part, where no model can know it.
    """
    _, groups = np.unique(targets.reshape(len(targets), -1), axis=0, return_inverse=True)
    drawn = np.random.default_rng(seed).permutation(len(targets))
    order = drawn[np.argsort(groups.ravel()[drawn], kind="stable")]
    found = np.empty(len(targets), np.int64)
    found[order] = np.arange(len(targets)) % FOLDS
    return found


@dataclass(frozen=True)
class Comparison:
    """How the two did on the same images.

    Attributes:
        images: that both answered.
        head, full: the mean share of their decisions that are right, 0..1: one decision an image, or one for each class.
        error: the standard error of the mean difference.
        temperature: of the network, by the same answers (see ``calibration``).
    """

    images: int
    head: float
    full: float
    error: float
    temperature: float = 1.0

    @classmethod
    def of(cls, head: NDArray[np.float64], full: NDArray[np.float64], temperature: float = 1.0) -> Self:
        """From the share of right decisions on each image, float64 [n] each, in the same order, and the network's temperature."""
        if len(head) < 2:
            return cls(len(head), 0.0, 0.0, 0.0)
        error = np.std(full - head, ddof=1) / np.sqrt(len(head))
        return cls(len(head), float(head.mean()), float(full.mean()), float(error), temperature)

    @property
    def full_wins(self) -> bool:
        """Whether training the encoder as well is better, by the rule above."""
        return self.full - self.head > self.error
