"""Learning curves for tests."""

import numpy as np

from pt4al_backend.analysis.learning_curve import Point
from pt4al_backend.learn.labels.intervals import share
from pt4al_backend.measures import Measured


def counted(number: int, labels: int, right: int, total: int) -> Point:
    """The point of a round whose model had ``right`` of ``total`` control picks right."""
    point = Point.of(number, labels, Measured(**share(np.arange(total) < right)), total)
    assert point is not None
    return point
