"""Margin over the whole pool (Scheffer, Decomain and Wrobel, IDA 2001)."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pt4al_backend import sampling
from pt4al_backend.strategies.strategy import register
from pt4al_backend.strategies.uncertainty import Uncertainty


@register
class Margin(Uncertainty):
    """Asks the tasks whose two likeliest classes are nearest to each other."""

    name: ClassVar[str] = "margin"

    def confidence(self, posteriors: NDArray[np.floating]) -> NDArray[np.float64]:
        """The highest posterior minus the second highest."""
        return sampling.margin(posteriors)
