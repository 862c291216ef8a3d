"""Classes that labels hold: how often, whether they are enough to learn from, what each weighs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.errors import TooFewClasses


def require_two(counts: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Checks that the labels hold two of the ``classes`` or more; ``counts`` says how often each of them.

    Raises:
        TooFewClasses: they do not.
    """
    present = np.flatnonzero(counts)
    if len(present) < 2:
        only = f"only {classes[int(present[0])]!r}" if len(present) else "none"
        raise TooFewClasses(
            f"Training needs labels of two classes or more; there is {only}.",
            "Label more tasks; the ranking serves meanwhile.",
        )


def balanced_weights(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Weight of each class, its inverse frequency: float32 [classes], mean 1 over all labels; 0 for a class without any."""
    present = counts > 0
    weights = np.zeros(len(counts), dtype=np.float32)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights
