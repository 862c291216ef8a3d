"""Random: uniform over the pool, the baseline that every other strategy has to beat."""

# ruff: noqa: ARG002 - all strategies share one signature, and each uses what it needs

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.strategies.first_query import uniform
from pt4al_backend.query.strategies.request import Pool, Query, Request
from pt4al_backend.query.strategies.strategy import Strategy


class Random(Strategy):
    """Draws without replacement; asks neither model nor ranking."""

    name: ClassVar[str] = "random"
    uses_ranking: ClassVar[bool] = False

    def candidates(self, pool: Pool, round: int, k: int) -> NDArray[np.int64]:
        """None: chance needs no scores."""
        return np.empty(0, dtype=np.int64)

    def query(self, asked: Request) -> Query:
        """Asks in a uniformly random order."""
        return uniform(asked.pool, asked.k, asked.rng)
