"""Random: uniform over the pool, the baseline that every other strategy has to beat."""

# ruff: noqa: ARG002 - all strategies share one signature, and each uses what it needs

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.strategies.base import Pool, Query, Request, Strategy
from pt4al_backend.query.strategies.first_query import uniform


class Random(Strategy):
    """Draws without replacement, and uses neither model nor ranking.

    Returns k picks in a uniformly random order; scores are places.
    """

    @property
    def depends_on_ranking(self) -> bool:
        return False

    def candidates(self, pool: Pool, round: int, k: int) -> NDArray[np.int64]:
        """None: chance needs no scores."""
        return np.empty(0, dtype=np.int64)

    def query(self, request: Request) -> Query:
        """Queries in a uniformly random order."""
        return uniform(request.pool, request.k, request.rng)
