"""Strategies that ask what their companion is least sure of: their common part. What it learns is in ``companions``."""

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.draws import lowest, uniform_order
from pt4al_backend.query.strategies.request import Pool
from pt4al_backend.query.strategies.uncertainty import Uncertainty

#: Candidates of a query, a uniform draw: the published 10,000.
SUBSET = 10_000


def subset(pool: Pool, round: int, k: int, seed: int) -> NDArray[np.int64]:
    """Positions of ``SUBSET`` tasks, or of ``k`` if those are more, drawn uniformly, another draw each round.

    The draw is the seed's own, so that runs that differ in it alone are independent; the order is the round's alone, so
    that a pool that is taken whole is the same for all of them.
    """
    word = int(np.random.SeedSequence([seed, round]).generate_state(1, np.uint64)[0])
    drawn = lowest(uniform_order(pool.ids, word), pool.ids, max(SUBSET, k) if k > 0 else 0)
    ids = pool.ids[drawn]
    return drawn[lowest(uniform_order(ids, round), ids, len(ids))]


class CompanionStrategy(Uncertainty):
    """Asks by the confidences of the companion that has the strategy's name."""

    def __init_subclass__(cls) -> None:
        cls.companion = cls.name

    def candidates(self, pool: Pool, round: int, k: int) -> NDArray[np.int64]:
        """A uniform draw of the pool, one for each seed and round."""
        return subset(pool, round, k, self.seed)
