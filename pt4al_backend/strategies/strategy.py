"""What a strategy is: a rule that turns pool and model into a query, found in the registry by its name.

A strategy is a class in a module of its own, marked ``@register`` and imported by the package; the contract test then
covers it. Its answers depend on ids, losses, batches, posteriors and the generator alone, not on the pool's order.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Pool:
    """The tasks that may be asked, in any order.

    ``ids`` int64[n] are Label Studio's; ``losses`` float64[n] the pretext losses, NaN where there is no meaningful
    ranking; ``batches`` int64[n] the batch, 1..I, of each.
    """

    ids: NDArray[np.int64]
    losses: NDArray[np.float64]
    batches: NDArray[np.int64]

    def __post_init__(self) -> None:
        if not self.ids.shape == self.losses.shape == self.batches.shape:
            raise ValueError(f"{self.ids.size} ids, {self.losses.size} losses and {self.batches.size} batches")

    @property
    def ranked(self) -> bool:
        """Whether every task has a loss to rank it by."""
        return bool(np.isfinite(self.losses).all())


@dataclass(frozen=True, eq=False)
class Query:
    """What to ask: ``positions`` int64[k] into the pool, distinct, best first, and ``scores`` float64[k] in [0, 1].

    Low scores are asked first. Within a batch they ascend; where a query goes on into the next batch they start anew, so
    the positions are the order, and ``sampling.queue_scores`` makes of the scores what Label Studio needs to keep it.
    """

    positions: NDArray[np.int64]
    scores: NDArray[np.float64]

    @classmethod
    def by_place(cls, positions: NDArray[np.int64]) -> Self:
        """A query that no model scored: each score is the place in the query over its length, 0, 1/k, 2/k, …"""
        return cls(positions, np.arange(positions.size) / max(positions.size, 1))


class Strategy(ABC):
    """A rule for the query. All take the same options; each uses those it has a use for.

    ``rounds`` is I, the number of batches; ``first_query`` is "stratified" or "hardest_batch"; ``sampler`` a name in
    ``sampling.SAMPLERS``. Rounds count from 1 and may exceed I: after round I the sweep begins again.
    """

    #: What the setting ``strategy`` calls it.
    name: ClassVar[str]
    #: Whether losses or batches change what it asks; if not, it can start before the pool is ranked.
    uses_ranking: ClassVar[bool]

    def __init__(self, *, rounds: int, first_query: str, sampler: str) -> None:
        self.rounds = rounds
        self.first_query = first_query
        self.sampler = sampler

    @abstractmethod
    def candidates(self, pool: Pool, round: int, k: int) -> NDArray[np.int64]:
        """Positions int64[m] that the model must score before this round's query of ``k``; empty if it asks no model."""

    @abstractmethod
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
        """Picks ``k`` tasks, the query and the reserve behind it, or as many as there are.

        ``candidates`` int64[m] are positions with ``posteriors`` float[m, C]; what lies outside them is not picked by a
        strategy that asks the model. ``posteriors`` is None before there is a model. The first ``query_size`` picks are a
        query in their own right: the reserve changes nothing about them. ``rng`` is the only source of chance.

        Raises:
            ValueError: not one row of posteriors for each candidate, or posteriors that are not finite.
        """


def require_aligned(candidates: NDArray[np.int64], posteriors: NDArray[np.floating]) -> None:
    """Raises ValueError unless there is one row of posteriors for each candidate."""
    if len(candidates) != len(posteriors):
        raise ValueError(f"{len(candidates)} candidates but posteriors of {len(posteriors)}")


#: Strategies by name.
STRATEGIES: dict[str, type[Strategy]] = {}


def register(strategy: type[Strategy]) -> type[Strategy]:
    """Adds a strategy to the registry under its ``name``, which must be free."""
    if strategy.name in STRATEGIES:
        raise ValueError(f"there is a strategy {strategy.name!r} already")
    STRATEGIES[strategy.name] = strategy
    return strategy
