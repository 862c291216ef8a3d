"""Strategies that pick from the whole pool by the model's features: their common part."""

# ruff: noqa: ARG002 - all strategies share one signature, and each uses what it needs

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.strategies import first_query
from pt4al_backend.query.strategies.base import ModelOutput, Need, Pool, Query, Request, Strategy, whole


class Covering(Strategy):
    """Queries in the order in which ``pick`` finds candidates; scores are the places in it."""

    needs: frozenset[Need] = frozenset({"features"})

    def candidates(self, pool: Pool, round: int, k: int) -> NDArray[np.int64]:
        """The whole pool."""
        return whole(pool, k)

    def query(self, request: Request) -> Query:
        """Queries what ``pick`` finds among the candidates, sorted by their ids."""
        if request.output is None:
            return first_query.pick(request, self.first_query, self.order)
        output = request.output.by_id(request.pool.ids)
        return Query.by_place(output.positions[self.pick(output, request)])

    @abstractmethod
    def pick(self, output: ModelOutput, request: Request) -> NDArray[np.int64]:
        """Indices int64[min(request.k, m)] of candidates, best first."""
