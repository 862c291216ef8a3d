"""How sure a model is of an image, from its posteriors: least confidence, margin, entropy.

Confidences are low where the model is unsure: the lowest is queried first, as Label Studio serves the lowest score first.
Posteriors are softmax probabilities float[n, C], rows summing to one, from evaluation mode and without augmentation.
The published PT4AL code takes them from L2-normalised logits instead, which orders images differently from its Eq. 2.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def _checked(posteriors: NDArray[np.floating]) -> NDArray[np.float64]:
    if posteriors.ndim != 2 or not posteriors.shape[1]:
        raise ValueError(f"expected posteriors [n, classes], got {list(posteriors.shape)}")
    if not np.isfinite(posteriors).all():
        raise ValueError("posteriors are not finite: the model has diverged")
    return posteriors.astype(np.float64)


def within_unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Clips values float64[n] that rounding, or a caller, put outside [0, 1]."""
    inside: NDArray[np.float64] = np.clip(values, 0.0, 1.0)
    return inside


def least_confidence(posteriors: NDArray[np.floating]) -> NDArray[np.float64]:
    """The top-1 posterior float64[n] of each row: PT4AL, Eq. 2, whose sampler takes the K lowest.

    Raises:
        ValueError: posteriors of another shape, or not finite. So do ``margin`` and ``entropy``.
    """
    return within_unit(_checked(posteriors).max(axis=1))


def margin(posteriors: NDArray[np.floating]) -> NDArray[np.float64]:
    """The highest posterior minus the second highest, float64[n]; with a single class the posterior itself."""
    p = _checked(posteriors)
    if p.shape[1] == 1:
        return within_unit(p[:, 0])
    top = np.partition(p, -2, axis=1)
    return within_unit(top[:, -1] - top[:, -2])


def entropy(posteriors: NDArray[np.floating]) -> NDArray[np.float64]:
    """One minus the entropy over its largest value, 1 - H / log C, float64[n]; with a single class 1."""
    p = _checked(posteriors)
    if p.shape[1] == 1:
        return np.ones(len(p))
    logarithm = np.log(p, out=np.zeros_like(p), where=p > 0)
    return within_unit(1.0 + (p * logarithm).sum(axis=1) / np.log(p.shape[1]))


#: The name of the top-1 posteriors that people are shown, where those that queries go by are not calibrated.
CALIBRATED = "calibrated"

#: What the setting ``sampler`` may name.
SAMPLERS: dict[str, Callable[[NDArray[np.floating]], NDArray[np.float64]]] = {
    "least_confidence": least_confidence,
    "margin": margin,
    "entropy": entropy,
}


def confidences(posteriors: NDArray[np.floating]) -> dict[str, NDArray[np.float64]]:
    """All confidences float64[n] of posteriors float[n, C], by their names in ``SAMPLERS``.

    Raises:
        ValueError: posteriors of another shape, or not finite.
    """
    return {name: confidence(posteriors) for name, confidence in SAMPLERS.items()}


def set_confidences(posteriors: NDArray[np.floating]) -> dict[str, NDArray[np.float64]]:
    """The same of images that may have any number of classes, from a posterior of each class by itself, float[n, C].

    Each class is a decision between two, there (p) and not there (1 - p), and has the confidences of these; an image's are the
    means over its classes. So least confidence is the mean posterior of what is decided, max(p, 1 - p); margin the mean of
    |2 p - 1|, twice the distance to the threshold of 0.5; entropy one minus the mean entropy in bits. The first two order images
    alike.

    Raises:
        ValueError: posteriors of another shape, or not finite.
    """
    there = _checked(posteriors)
    decisions = np.stack([there, 1.0 - there], axis=-1).reshape(-1, 2)
    return {name: values.reshape(there.shape).mean(axis=1) for name, values in confidences(decisions).items()}
