"""Labels of whole images: a linear head on frozen features can be learned from them."""

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.learn.frozen.heads import LinearHead, Standard
from pt4al_backend.learn.labels.base import LabelSpace


class ImageLabels(LabelSpace):
    """One posterior for each class and image: rows of ``predict`` are posteriors float [m, C]."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes

    @abstractmethod
    def require_learnable(self, targets: NDArray[Any]) -> None:
        """Checks that there is something to learn from targets [n, ...].

        Raises:
            TooFewClasses: there is not; the message says why.
        """

    @abstractmethod
    def fit_head(self, features: NDArray[np.float32], targets: NDArray[Any], standard: Standard, *, balanced: bool) -> LinearHead:
        """A head that has learned targets [n, ...] of features float32 [n, d] that were brought to a ``standard``."""

    @abstractmethod
    def posteriors_of(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Posteriors [m, C] of a head's logits [m, C]."""

    @abstractmethod
    def likelihoods(self, posteriors: NDArray[np.float64], targets: NDArray[Any]) -> NDArray[np.float64]:
        """What posteriors [m, C] give to targets [m, ...], float64 [k]: one for each decision."""

    @abstractmethod
    def right(self, posteriors: NDArray[np.floating], targets: NDArray[Any]) -> NDArray[np.float64]:
        """The share of right decisions on each image, float64 [m], of posteriors [m, C] for targets [m, ...]."""
