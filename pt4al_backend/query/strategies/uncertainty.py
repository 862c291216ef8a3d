"""Uncertainty sampling (Lewis and Gale, SIGIR 1994) over the whole pool: the common part of its three strategies."""

# ruff: noqa: ARG002 - all strategies share one signature, and each uses what it needs

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.draws import lowest
from pt4al_backend.query.strategies.request import Pool, Query, Request
from pt4al_backend.query.strategies.strategy import Strategy


class Uncertainty(Strategy):
    """Asks the tasks of the whole pool that the model is least sure of, by the sampler of the same name.

    The literature starts uniformly: ``first_query`` = "random".
    """

    uses_ranking: ClassVar[bool] = True

    def candidates(self, pool: Pool, round: int, k: int) -> NDArray[np.int64]:
        """The whole pool."""
        return np.arange(pool.ids.size if k > 0 else 0, dtype=np.int64)

    def query(self, asked: Request) -> Query:
        """Asks the lowest in confidence; scores are the confidences."""
        if asked.said is None:
            return self.without_model(asked)
        positions, scores = asked.said.positions, asked.said.confidences[self.name]
        best = lowest(scores, asked.pool.ids[positions], asked.k)
        return Query(positions[best], scores[best])
