"""BADGE (Ash et al., ICLR 2020): tasks whose loss would pull the model far, and in directions of their own.

The gradient of an image's loss by the last layer's weights, were its likeliest class the true one, is (p - onehot) ⊗ h
for posteriors p and features h. BADGE samples the gradients by k-means++; their lengths and products come from those of
the factors, so that none is ever written down. As in the published code the first pick is the longest gradient.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.strategies.covering import Covering
from pt4al_backend.query.strategies.distances import squares
from pt4al_backend.query.strategies.request import ModelOutput, Request
from pt4al_backend.query.strategies.seeding import seeding
from pt4al_backend.query.strategies.strategy import Need


class Badge(Covering):
    """Samples by gradient. Needs one posterior for each class and image, so a main task that has them."""

    name: ClassVar[str] = "badge"
    needs: frozenset[Need] = frozenset({"features", "posteriors"})

    def pick(self, said: ModelOutput, asked: Request) -> NDArray[np.int64]:
        features, _ = said.needed_features()
        if said.posteriors is None:
            raise ValueError("badge was given no posteriors")
        if not len(features):
            return np.empty(0, dtype=np.int64)
        errors = said.posteriors.copy()
        errors[np.arange(len(errors)), errors.argmax(1)] -= 1
        features = features / max(float(np.abs(features).max(initial=0)), float(np.finfo(np.float32).tiny))
        lengths = squares(errors) * squares(features)

        def squared_to(i: int) -> NDArray[np.float32]:
            products = (errors @ errors[i]) * (features @ features[i])
            found: NDArray[np.float32] = np.maximum(lengths + lengths[i] - 2 * products, 0)
            return found

        return seeding(int(lengths.argmax()), len(lengths), asked.k, squared_to, asked.rng)
