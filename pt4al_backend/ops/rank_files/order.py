"""The order in which PT4AL queries images as long as it has no model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast, overload

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.aliases import Json
from pt4al_backend.config import ProjectSettings
from pt4al_backend.query.plan import fit_schedule, strategy_of
from pt4al_backend.query.ranking import cut_batches
from pt4al_backend.query.ranking import rank as by_loss
from pt4al_backend.query.strategies import Pool, Request, Sizes, Strategy
from pt4al_backend.query.strategies._coverage import LIMITS, Limits
from pt4al_backend.query.strategies.herding import MOST_HERDED, Herding, herd
from pt4al_backend.query.strategies.pt4al import PT4AL

#: The most queries by loss.
MOST_QUERIES = 200


class Rows(Protocol):
    """Features of images in a random order, read when they are wanted; an array is one as well."""

    def __len__(self) -> int: ...

    def __getitem__(self, places: NDArray[np.int64], /) -> NDArray[np.floating]:
        """Features [m, d] at places int64 [m]."""


@dataclass(frozen=True)
class Place:
    """One image in the order: its index, its rank by loss from 1, PT4AL's batch, and the query that takes it."""

    index: int
    rank: int
    batch: int
    query: int
    loss: float

    def data(self) -> Json:
        """What is added to the task's data, as numbers that the Data Manager can filter by."""
        return {"pt4al_loss": self.loss, "pt4al_rank": self.rank, "pt4al_batch": self.batch, "pt4al_query": self.query}


@dataclass(frozen=True, eq=False)
class Order(Sequence[Place]):
    """Places best first, kept as columns: a million of them as objects take hundreds of megabytes.

    Attributes:
        indices, queries: int64 [places].
        losses, ranks, batches: [images].
    """

    indices: NDArray[np.int64]
    queries: NDArray[np.int64]
    losses: NDArray[np.float64]
    ranks: NDArray[np.int64]
    batches: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, place: int) -> Place: ...

    @overload
    def __getitem__(self, place: slice) -> "Order": ...

    def __getitem__(self, place: int | slice) -> "Place | Order":
        if isinstance(place, slice):
            return replace(self, indices=self.indices[place], queries=self.queries[place])
        index = int(self.indices[place])
        rank, batch = int(self.ranks[index]), int(self.batches[index])
        return Place(index, rank, batch, int(self.queries[place]), float(self.losses[index]))


def order(
    losses: NDArray[np.float64],
    options: ProjectSettings,
    *,
    meaningful: bool = True,
    features: Rows | None = None,
    most_herded: int = MOST_HERDED,
    limits: Limits = LIMITS,
) -> Order:
    """The order in which a project with these settings would query, without ever getting a model.

    Query after query of the size that the settings give for this pool, each by the strategy's rule over what is left; of a pool
    that would take more than ``MOST_QUERIES`` they are larger, as each looks at all that is left.
    If the ranking means nothing, the queries are uniform.

    Args:
        losses: pretext losses float64 [images].
        features: of the images [images, d], if an encoder gave any. A strategy that begins by herding then covers the images
            by them: query after query is one run of the greedy algorithm, up to ``most_herded``. What is left follows by loss.
        limits: how much of the pool herding computes at once.
    """
    n = len(losses)
    ids = np.arange(n, dtype=np.int64)
    ranking = by_loss(losses, ids)
    known = losses if meaningful else np.full(n, np.nan)
    schedule = fit_schedule(n, options)
    strategy = strategy_of(options, schedule.batches)
    batches = cut_batches(ids, known, schedule.batches, options.seed)
    ranks = np.empty(n, np.int64)
    ranks[ranking] = np.arange(1, n + 1)
    herded = _herded(features, strategy, options.seed, most_herded, limits) if features is not None else ids[:0]
    indices, queries = [herded], [1 + np.arange(len(herded)) // schedule.query]
    number = -(-len(herded) // schedule.query)
    left = ranking[~np.isin(ranking, herded)]  # in ranked order, which makes the strategies' sorting cheap
    size = max(schedule.query, -(-len(left) // MOST_QUERIES))
    while len(left):
        number += 1
        pool = Pool(ids[left], known[left], batches[left])
        rng = np.random.default_rng([options.seed, number])
        query = strategy.query(Request(pool, number, size, size, rng))
        indices.append(left[query.positions])
        queries.append(np.full(len(query.positions), number, np.int64))
        left = np.delete(left, query.positions)
    return Order(np.concatenate(indices), np.concatenate(queries), losses, ranks, batches)


def _herded(features: Rows, strategy: Strategy, seed: int, most: int, limits: Limits) -> NDArray[np.int64]:
    """The images that cover all others best, int64 [at most ``most``]; none for a strategy that begins by another rule."""
    begins = isinstance(strategy, Herding) or (isinstance(strategy, PT4AL) and strategy.first_query == "herding")
    if not begins:
        return np.empty(0, np.int64)
    count = min(len(features), most)
    as_unsure = np.ones(len(features), np.float32)
    is_small = len(features) <= limits.candidates
    # kept in 16 bits, on the disk: the rule makes 32 of each part that it looks at
    given = cast("NDArray[np.float32]", features[np.arange(len(features))] if is_small else features)
    nothing = given[np.arange(0)]
    return herd(given, nothing, as_unsure, Sizes(count, count), np.random.default_rng([seed, 1]), is_shuffled=True, limits=limits)
