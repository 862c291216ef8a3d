"""The classes of labels: whether there are enough to learn from, and what each weighs in the loss."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.errors import TooFewClasses


def require_two_classes(counts: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Checks that the labels hold two of the ``classes`` or more; ``counts``, int64 [classes], is how often each occurs.

    Raises:
        TooFewClasses: they hold fewer.
    """
    present = np.flatnonzero(counts)
    if len(present) < 2:
        only = f"only {classes[int(present[0])]!r}" if len(present) else "none"
        raise TooFewClasses(
            f"Training needs labels of two classes or more; there is {only}.",
            "Label more tasks; until then they are served in the order of the ranking.",
        )


def balanced_weights(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Weight of each class, its inverse frequency: float32 [classes], mean 1 over all labels; 0 for a class without any."""
    present = counts > 0
    weights = np.zeros(len(counts), dtype=np.float32)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights
