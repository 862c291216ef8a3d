"""D² sampling, the seeding of k-means++ (Arthur and Vassilvitskii, SODA 2007)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def seeding(
    first: int, count: int, k: int, squared_to: Callable[[int], NDArray[np.float32]], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Indices int64[min(k, count)]: ``first``, then each drawn in proportion to its squared distance to the nearest before it.

    ``squared_to(i)`` gives the squared distances float32[count] to point i, none of them negative. Where all that is left
    lies on picks, the lowest index is next. One draw a pick: a longer query begins with the shorter one.
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
