"""What a strategy is, what it is given, and what it returns: arrays, aligned and checked."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.ranking import sweep

#: What a model can give for images beside its confidences: ``ModelOutput.features`` with ``ModelOutput.labelled``,
#: ``ModelOutput.posteriors``, and another confidence, "drop_consistency": the share of passes under dropout with the same answer.
#: "pretext_features": before there is a model, the pretext learner's features of the whole pool, in the same place.
Need = Literal["features", "posteriors", "drop_consistency", "pretext_features"]


def _require_rows(name: str, rows: NDArray[np.float32], count: int | None) -> None:
    if rows.ndim != 2 or count not in (None, len(rows)):
        raise ValueError(f"{name} of shape {list(rows.shape)} for {count} tasks")
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} are not finite: the model has diverged")


@dataclass(frozen=True, eq=False)
class Pool:
    """The tasks that a query may take, in any order.

    Attributes:
        ids: int64[n], Label Studio's.
        losses: float64[n], the pretext losses; NaN where there is no meaningful ranking.
        batches: int64[n], the batch of each task, 1..I.

    Raises:
        ValueError: columns of different lengths.
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

    def take(self, positions: NDArray[np.int64]) -> "Pool":
        """The pool of the tasks at these positions."""
        return Pool(self.ids[positions], self.losses[positions], self.batches[positions])


@dataclass(frozen=True, eq=False)
class ModelOutput:
    """What a model gave for candidates. Before there is a model, the pretext learner's features take its place.

    Attributes:
        positions: int64[m], the candidates' positions in the pool.
        confidences: float64[m] in [0, 1], low where the model is unsure, by the names of ``confidence.SAMPLERS``, of a companion
            that was trained, and of a need that is a confidence. The pretext learner has none.
        features: float32[m, d], what the model describes images by; None if the strategy does not need them.
        labelled: float32[l, d], the features of the images that are labelled; given together with ``features``.
        posteriors: float32[m, C]; None if the strategy does not need them.

    Raises:
        ValueError: not one row for each candidate, or one that is not finite because the model has diverged.
    """

    positions: NDArray[np.int64]
    confidences: Mapping[str, NDArray[np.float64]]
    features: NDArray[np.float32] | None = None
    labelled: NDArray[np.float32] | None = None
    posteriors: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        for name, values in self.confidences.items():
            if values.shape != self.positions.shape:
                raise ValueError(f"{self.positions.size} candidates but {name} of {values.size}")
            if not np.isfinite(values).all():
                raise ValueError(f"{name} is not finite: the model has diverged")
        if (self.features is None) != (self.labelled is None):
            raise ValueError("features of candidates and of labelled images go together")
        if self.features is not None and self.labelled is not None:
            _require_rows("features", self.features, self.positions.size)
            _require_rows("labelled", self.labelled, None)
            if self.features.shape[1] != self.labelled.shape[1]:
                raise ValueError(f"features of {self.features.shape[1]} and {self.labelled.shape[1]} columns")
        if self.posteriors is not None:
            _require_rows("posteriors", self.posteriors, self.positions.size)

    def required_features(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """``features`` and ``labelled``, for a strategy that needs them.

        Raises:
            ValueError: there are none.
        """
        if self.features is None or self.labelled is None:
            raise ValueError("a strategy that needs features was given none")
        return self.features, self.labelled

    def by_id(self, ids: NDArray[np.int64]) -> "ModelOutput":
        """The same in ascending order of the candidates' ids, ``ids`` int64[n] being the pool's.

        Sums round differently in another order of their terms, so a strategy that computes with features sorts them first.
        """
        own = ids[self.positions]
        return self if (np.diff(own) > 0).all() else self.take(np.argsort(own))  # large features are not copied for nothing

    def take(self, rows: NDArray[np.int64]) -> "ModelOutput":
        """The same of the candidates in these rows, in their order."""
        return replace(
            self,
            positions=self.positions[rows],
            confidences={name: values[rows] for name, values in self.confidences.items()},
            features=None if self.features is None else self.features[rows],
            posteriors=None if self.posteriors is None else self.posteriors[rows],
        )


class Sizes(NamedTuple):
    """How many tasks are wanted: those of the query, and those of the query and the reserve behind it together."""

    query: int
    total: int


@dataclass(frozen=True, eq=False)
class Request:
    """What a round wants of a strategy.

    Attributes:
        pool: the tasks that may be queried.
        round: its number, from 1. It may exceed I: after round I the sweep begins again.
        query_size: tasks of the query. They are a query in their own right, whatever follows.
        k: tasks of the query and of the reserve behind it.
        rng: the only source of chance.
        output: what the model gave for candidates; None before there is a model.
    """

    pool: Pool
    round: int
    query_size: int
    k: int
    rng: np.random.Generator
    output: ModelOutput | None = None

    @property
    def sizes(self) -> Sizes:
        """``query_size`` and ``k``."""
        return Sizes(self.query_size, self.k)


@dataclass(frozen=True, eq=False)
class Query:
    """What a strategy returns.

    Attributes:
        positions: int64[k] into the pool, distinct, best first.
        scores: float64[k] in [0, 1], low ones first. Within a batch they ascend; where a query continues in the next batch
            they start again from the bottom. So the positions are the order, and ``draws.queue_scores`` makes of the scores
            what Label Studio needs to keep it.
    """

    positions: NDArray[np.int64]
    scores: NDArray[np.float64]

    @classmethod
    def by_place(cls, positions: NDArray[np.int64]) -> Self:
        """A query that no model scored: each score is the place in the query over its length, 0, 1/k, 2/k, …"""
        return cls(positions, np.arange(positions.size) / max(positions.size, 1))


class Strategy(ABC):
    """A rule for the query: a class in a module of its own, or with its siblings, and a line in ``config.catalog``.

    All take the same options, and each uses those that concern it. What a strategy returns depends on ids, losses, batches, the
    model's output and the generator, not on the order of the pool.

    Args:
        name: what the setting ``strategy`` calls it. One class may serve several names.
        batches: I, how many batches the ranking is cut into.
        first_query: a rule of ``first_query``, for the time before there is a model.
        sampler: one of ``catalog.BATCH_SAMPLERS``.
        batch_order: one of ``catalog.BATCH_ORDERS``.
        seed: the project's, for a draw of candidates.
    """

    def __init__(
        self, name: str, *, batches: int, first_query: str, sampler: str, batch_order: str = "hard_first", seed: int = 0
    ) -> None:
        self.name = name
        self.batches = batches
        self.first_query = first_query
        self.sampler = sampler
        self.order = sweep(batches, batch_order)
        self.seed = seed

    @property
    def needs(self) -> frozenset[Need]:
        """What it needs beside confidences. Where the model's output lacks it, ``query`` is called without a model."""
        return frozenset()

    @property
    def companion(self) -> str:
        """The companion that is trained for it (see ``learn.companions``), "" for none; its confidences go by that name."""
        return ""

    @property
    def depends_on_ranking(self) -> bool:
        """Whether losses or batches change what it queries; if not, it can start before the pool is ranked."""
        return self.first_query != "random"

    @abstractmethod
    def candidates(self, pool: Pool, round: int, k: int) -> NDArray[np.int64]:
        """Positions int64[m] that the model must score before this round's query of ``k``; empty if it needs no model.

        The same call gives the same positions: a draw depends on the seed and the round.
        """

    @abstractmethod
    def query(self, request: Request) -> Query:
        """Picks ``request.k`` tasks, or as many as there are; the reserve changes nothing about the query before it.

        A strategy that uses the model picks nothing but candidates that the model scored.
        """


def whole(pool: Pool, k: int) -> NDArray[np.int64]:
    """All positions int64[n] of a pool, none if ``k`` is 0: the candidates of a strategy that compares the whole pool."""
    return np.arange(pool.ids.size if k > 0 else 0, dtype=np.int64)
