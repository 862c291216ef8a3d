"""BADGE: tasks whose loss would pull the model far, and in different directions."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.strategies._covering import Covering
from pt4al_backend.query.strategies.base import ModelOutput, Need, Request


class Badge(Covering):
    """Samples gradients by k-means++. For main tasks that give an image one posterior for each class.

    Source: Ash, Zhang, Krishnamurthy, Langford and Agarwal (ICLR 2020), Algorithm 1. The gradient of an image's loss by the
    last layer's weights, were its likeliest class the true one, is (p - onehot) ⊗ h, with posteriors p of C classes and features
    h of d numbers.

    Returns k picks as the sampling draws them; scores are places.

    Deviation: the first pick is the longest gradient, as in the published code, where the paper's k-means++ draws it uniformly.
    """

    needs: frozenset[Need] = frozenset({"features", "posteriors"})

    def pick(self, output: ModelOutput, request: Request) -> NDArray[np.int64]:
        features, _ = output.required_features()
        if output.posteriors is None:
            raise ValueError("badge was given no posteriors")
        if not len(features):
            return np.empty(0, dtype=np.int64)
        errors = output.posteriors.copy()
        errors[np.arange(len(errors)), errors.argmax(1)] -= 1
        features = features / max(float(np.abs(features).max(initial=0)), float(np.finfo(np.float32).tiny))
        lengths = np.einsum("nc,nc->n", errors, errors) * np.einsum("nd,nd->n", features, features)

        # Lengths and products of the gradients are those of their factors multiplied, so that none is written down.
        # scikit-learn's kmeans_plusplus takes points: C d numbers an image, 2 GB for 100,000 images of 10 classes and 512
        # features in float32, and 200 GB for 1,000 classes.
        def squared_to(i: int) -> NDArray[np.float32]:
            products = (errors @ errors[i]) * (features @ features[i])
            found: NDArray[np.float32] = np.maximum(lengths + lengths[i] - 2 * products, 0)
            return found

        return d2_sample(int(lengths.argmax()), len(lengths), request.k, squared_to, request.rng)


def d2_sample(
    first: int, count: int, k: int, squared_to: Callable[[int], NDArray[np.float32]], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Indices int64[min(k, count)]: ``first``, then each drawn in proportion to its squared distance to the nearest before it.

    Source: the seeding of k-means++ (Arthur and Vassilvitskii, SODA 2007). ``squared_to(i)`` gives the squared distances
    float32[count] to point i, none of them negative. Where all that is left lies on picks, the lowest index is next. One draw a
    pick: a longer sample begins with the shorter one.
    """
    k = max(0, min(k, count))
    picks = np.empty(k, dtype=np.int64)
    distances = np.full(count, np.inf, dtype=np.float32)
    left = np.ones(count, dtype=np.bool_)
    pick = first
    for place in range(k):
        picks[place] = pick
        left[pick] = False
        np.minimum(distances, squared_to(pick), out=distances)
        distances[pick] = 0
        reach = np.cumsum(distances, dtype=np.float64)
        drawn = int(np.searchsorted(reach, rng.random() * reach[-1], side="right"))
        pick = drawn if drawn < count and left[drawn] else int(left.argmax())
    return picks
