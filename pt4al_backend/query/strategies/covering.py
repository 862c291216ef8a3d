"""Strategies that pick from the whole pool by what the model tells images by: their common part."""

# ruff: noqa: ARG002 - all strategies share one signature, and each uses what it needs

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.strategies.request import ModelOutput, Pool, Query, Request
from pt4al_backend.query.strategies.strategy import Need, Strategy


class Covering(Strategy):
    """Asks in the order in which ``pick`` finds candidates; scores are the places in it."""

    uses_ranking: ClassVar[bool] = True
    needs: frozenset[Need] = frozenset({"features"})

    def candidates(self, pool: Pool, round: int, k: int) -> NDArray[np.int64]:
        """The whole pool."""
        return np.arange(pool.ids.size if k > 0 else 0, dtype=np.int64)

    def query(self, asked: Request) -> Query:
        """Asks what ``pick`` finds among the candidates, by their ids."""
        if asked.said is None:
            return self.without_model(asked)
        said = asked.said.by_id(asked.pool.ids)
        return Query.by_place(said.positions[self.pick(said, asked)])

    @abstractmethod
    def pick(self, said: ModelOutput, asked: Request) -> NDArray[np.int64]:
        """Indices int64[min(asked.k, m)] of candidates, best first."""
