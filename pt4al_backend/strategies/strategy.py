"""What a strategy is: a rule that turns pool and model into a query, found in the registry by its name.

A strategy is a class in a module of its own, marked ``@register`` and imported by the package; the contract test then
covers it. Its answers depend on ids, losses, batches, confidences and the generator alone, not on the pool's order.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
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
class Said:
    """What a model said of candidates.

    ``positions`` int64[m] into the pool; ``confidences`` float64[m] in [0, 1] by the names of ``sampling.SAMPLERS``, low
    where the model is unsure.

    Raises:
        ValueError: not one confidence for each candidate, or one that is not finite: the model has diverged.
    """

    positions: NDArray[np.int64]
    confidences: Mapping[str, NDArray[np.float64]]

    def __post_init__(self) -> None:
        for name, values in self.confidences.items():
            if values.shape != self.positions.shape:
                raise ValueError(f"{self.positions.size} candidates but {name} of {values.size}")
            if not np.isfinite(values).all():
                raise ValueError(f"{name} is not finite: the model has diverged")


@dataclass(frozen=True, eq=False)
class Request:
    """What a round asks of a strategy.

    ``k`` tasks of ``pool``, the query and the reserve behind it; the first ``query_size`` are a query in their own right.
    ``rng`` is the only source of chance. ``said`` is None before there is a model.
    """

    pool: Pool
    round: int
    query_size: int
    k: int
    rng: np.random.Generator
    said: Said | None = None


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
    def query(self, asked: Request) -> Query:
        """Picks ``asked.k`` tasks, or as many as there are; the reserve changes nothing about the query before it.

        What lies outside the candidates that the model spoke of is not picked by a strategy that asks the model.
        """


#: Strategies by name.
STRATEGIES: dict[str, type[Strategy]] = {}


def register(strategy: type[Strategy]) -> type[Strategy]:
    """Adds a strategy to the registry under its ``name``, which must be free."""
    if strategy.name in STRATEGIES:
        raise ValueError(f"there is a strategy {strategy.name!r} already")
    STRATEGIES[strategy.name] = strategy
    return strategy
