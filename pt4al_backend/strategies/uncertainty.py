"""Uncertainty sampling (Lewis and Gale, SIGIR 1994) over the whole pool: the common part of its three strategies."""

# ruff: noqa: ARG002 - all strategies share one signature, and each uses what it needs

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.sampling import lowest
from pt4al_backend.strategies.first_query import stratified
from pt4al_backend.strategies.strategy import Pool, Query, Strategy, require_aligned


class Uncertainty(Strategy):
    """Asks the tasks of the whole pool that the model is least sure of.

    Without a model it asks the stratified first query, whatever ``first_query`` says, or uniformly if the pool is not
    ranked. The literature starts uniformly: for that, run round 1 with the strategy ``random``.
    """

    uses_ranking: ClassVar[bool] = True

    @abstractmethod
    def confidence(self, posteriors: NDArray[np.floating]) -> NDArray[np.float64]:
        """Confidence float64[m] in [0, 1] from posteriors float[m, C]; the lowest is asked first."""

    def candidates(self, pool: Pool, round: int, k: int) -> NDArray[np.int64]:
        """The whole pool."""
        return np.arange(pool.ids.size if k > 0 else 0, dtype=np.int64)

    def query(
        self,
        pool: Pool,
        round: int,
        query_size: int,
        k: int,
        candidates: NDArray[np.int64],
        posteriors: NDArray[np.floating] | None,
        rng: np.random.Generator,
    ) -> Query:
        """Asks the ``k`` lowest in confidence; scores are the confidences."""
        if posteriors is None:
            return stratified(pool, query_size, k, rng)
        require_aligned(candidates, posteriors)
        scores = self.confidence(posteriors)
        best = lowest(scores, pool.ids[candidates], k)
        return Query(candidates[best], scores[best])
