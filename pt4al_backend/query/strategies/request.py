"""What a strategy is asked, and what it answers: arrays, aligned and checked."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray


def _require_features(name: str, rows: NDArray[np.float32], count: int | None) -> None:
    if rows.ndim != 2 or count not in (None, len(rows)):
        raise ValueError(f"{name} of shape {list(rows.shape)} for {count} tasks")
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} are not finite: the model has diverged")


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

    def take(self, positions: NDArray[np.int64]) -> "Pool":
        """The pool of the tasks at these positions."""
        return Pool(self.ids[positions], self.losses[positions], self.batches[positions])


@dataclass(frozen=True, eq=False)
class ModelOutput:
    """What a model said of candidates; the pretext learner, before there is a model, to a strategy that ``needs`` it then.

    ``positions`` int64[m] into the pool; ``confidences`` float64[m] in [0, 1] by the names of ``confidence.SAMPLERS``, low
    where the model is unsure, and of the companion where there is one; the pretext learner has none. What a strategy
    ``needs`` beside them, else None: ``features`` float32[m, d] that the model tells images by, and ``labelled``
    float32[l, d], those of the images that were asked before; ``posteriors`` float32[m, C].

    Raises:
        ValueError: not one row for each candidate, or one that is not finite: the model has diverged.
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
            _require_features("features", self.features, self.positions.size)
            _require_features("labelled", self.labelled, None)
            if self.features.shape[1] != self.labelled.shape[1]:
                raise ValueError(f"features of {self.features.shape[1]} and {self.labelled.shape[1]} columns")
        if self.posteriors is not None:
            _require_features("posteriors", self.posteriors, self.positions.size)

    def needed_features(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """``features`` and ``labelled``, for a strategy that needs them.

        Raises:
            ValueError: the model was not asked for them.
        """
        if self.features is None or self.labelled is None:
            raise ValueError("a strategy that needs features was given none")
        return self.features, self.labelled

    def by_id(self, ids: NDArray[np.int64]) -> "ModelOutput":
        """The same in ascending order of the candidates' ids, ``ids`` being the pool's.

        Sums round differently in another order of their terms: a strategy that computes with features sorts them first.
        """
        order = np.argsort(ids[self.positions])
        return replace(
            self,
            positions=self.positions[order],
            confidences={name: values[order] for name, values in self.confidences.items()},
            features=None if self.features is None else self.features[order],
            posteriors=None if self.posteriors is None else self.posteriors[order],
        )


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
    said: ModelOutput | None = None


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
