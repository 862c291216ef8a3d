"""Linear heads on frozen features: multinomial logistic regression by scikit-learn."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.threads import one_thread

#: Weight of half the squared length of the coefficients, against the mean loss of a label: hardly any, since features are
#: standardised and scaled to unit length on average. 1e-6 to 1e-3 were tried once, on random picks of Caltech-101, one seed.
L2 = 1e-5
#: Passes under dropout, and the share of features that each leaves out.
DROPS, DROP_RATE = 3, 0.75
ITERATIONS = 200
#: Rows whose squares are summed at a time.
BLOCK = 1_024
#: What a class without a label gets for a logit: no posterior is left for it.
NEVER = -1e4


@dataclass(frozen=True)
class Standard:
    """Brings features to mean 0 and deviation 1, then divides by the root of their number d: float64 [d] each."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[np.floating]) -> Self:
        """From features [n, d] of unlabelled images as well; those that never change are left alone."""
        width = features.shape[1]
        if not len(features):
            return cls(np.zeros(width), np.full(width, np.sqrt(width)))
        mean = features.mean(0, dtype=np.float64)
        squares = np.zeros(width)
        for start in range(0, len(features), BLOCK):
            squares += ((features[start : start + BLOCK].astype(np.float64) - mean) ** 2).sum(0)
        deviation = np.sqrt(squares / len(features))
        return cls(mean, np.where(deviation > 1e-6, deviation, 1.0) * np.sqrt(width))

    def __call__(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        return np.asarray((features.astype(np.float64) - self.mean) / self.scale, np.float32)


@dataclass(frozen=True)
class LinearHead:
    """Logits of raw features: ``weights`` float64 [C, d], ``bias`` float64 [C]. Posteriors that people see are those of logits
    that are divided by ``temperature`` (see ``calibration``).
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    temperature: float = 1.0

    @classmethod
    def fit(
        cls,
        features: NDArray[np.float32],
        targets: NDArray[np.int64],
        classes: int,
        standard: Standard,
        *,
        balanced: bool = False,
    ) -> Self:
        """Learns the ``targets`` int64 [n] of standardised ``features`` float32 [n, d]; ``balanced`` weighs classes alike.

        Minimises the mean cross-entropy and ``L2``/2 times the squared length of the coefficients, to the minimum: the same
        labels give the same head. Nothing is drawn at random.
        """
        known, coefficients, intercepts = _logistic(features, targets, balanced=balanced)
        if len(known) == 2:  # scikit-learn gives the log odds of the second
            coefficients = np.concatenate([np.zeros_like(coefficients), coefficients])
            intercepts = np.concatenate([np.zeros(1), intercepts])
        weights, bias = np.zeros((classes, features.shape[1])), np.full(classes, NEVER)
        weights[known], bias[known] = coefficients, intercepts
        return cls._of_raw(weights, bias, standard)

    @classmethod
    def fit_each(
        cls, features: NDArray[np.float32], targets: NDArray[np.bool_], standard: Standard, *, balanced: bool = False
    ) -> Self:
        """Learns each class of ``targets`` bool [n, C] by itself: the logit is the log odds that an image has it.

        A class that all labelled images have, or none, is given to all images, or to none.
        """
        count = targets.shape[1]
        weights, bias = np.zeros((count, features.shape[1])), np.where(targets.any(0), -NEVER, NEVER)
        for number in np.flatnonzero(targets.any(0) & ~targets.all(0)):
            _, coefficients, intercepts = _logistic(features, targets[:, number], balanced=balanced)
            weights[number], bias[number] = coefficients[0], intercepts[0]
        return cls._of_raw(weights, bias, standard)

    @classmethod
    def _of_raw(cls, weights: NDArray[np.float64], bias: NDArray[np.float64], standard: Standard) -> Self:
        """From weights of standardised features."""
        raw = weights / standard.scale
        return cls(raw, bias - raw @ standard.mean)

    @classmethod
    def load(cls, file: Path) -> Self:
        """Reads what ``save`` wrote."""
        with np.load(file, allow_pickle=False) as arrays:
            return cls(arrays["weights"], arrays["bias"], float(arrays.get("temperature", 1.0)))

    def save(self, file: Path) -> None:
        """Writes all of it."""
        np.savez(file, weights=self.weights, bias=self.bias, temperature=self.temperature)

    def logits(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Logits float64 [n, C] of raw features [n, d]."""
        return features.astype(np.float64) @ self.weights.T + self.bias

    def drop_consistency(self, features: NDArray[np.floating], seed: int) -> NDArray[np.float64]:
        """The share float64 [n] of ``DROPS`` passes, in which features [n, d] are left out at random, with the same answer.

        What is kept is multiplied, so that logits keep their mean.
        """
        rng = np.random.default_rng(seed)
        same = np.zeros(len(features))
        for start in range(0, len(features), BLOCK):
            block = slice(start, start + BLOCK)
            answers = self.logits(features[block]).argmax(1)
            for _ in range(DROPS):
                kept = rng.random(features[block].shape, np.float32) >= DROP_RATE
                same[block] += self.logits(features[block] * (kept / (1 - DROP_RATE))).argmax(1) == answers
        return same / DROPS


def warm_up() -> None:
    """Imports what the first head would wait a second for."""
    import sklearn.linear_model  # noqa: F401


def _logistic(
    features: NDArray[np.float32], targets: NDArray[Any], *, balanced: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Classes that there are [c], their coefficients [c, d] and intercepts [c]; of two classes those of the second alone."""
    # Imported where it is needed: a second and 100 MB, which processes that only check settings need not spend.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    found = LogisticRegression(C=1 / (L2 * len(targets)), max_iter=ITERATIONS, class_weight="balanced" if balanced else None)
    # one thread: those of BLAS wait for each other at each of many small steps, on a busy machine ten times as long as they work
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore", ConvergenceWarning)  # separable labels: the posteriors have settled long before
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # few labels of many classes
        found.fit(features, targets)
    return found.classes_, found.coef_, found.intercept_
