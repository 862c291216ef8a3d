"""Queries of strategies that pick by features."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.config.catalog import STRATEGIES
from pt4al_backend.query.confidence import confidences
from pt4al_backend.query.strategies import ModelOutput, Pool, Request, Strategy


def unranked(n: int) -> Pool:
    """A pool without a ranking."""
    return Pool(np.arange(n), np.full(n, np.nan), np.ones(n, np.int64))


def build(name: str, **options: Any) -> Strategy:
    """The strategy of that name."""
    return STRATEGIES.load(name, Strategy)(name, **{"batches": 1, "first_query": "stratified", "sampler": "margin", **options})


def query(
    name: str, k: int, features: NDArray[np.float32], labelled: NDArray[np.float32], seed: int = 0, **given: Any
) -> list[int]:
    """What it picks by these features, and by ``posteriors`` and for a ``query_size`` if they are given."""
    n = len(features)
    posteriors = given.get("posteriors", np.full((n, 2), 0.5, np.float32))
    output = ModelOutput(np.arange(n), confidences(posteriors), features, labelled, posteriors)
    request = Request(unranked(n), 2, given.get("query_size", k), k, np.random.default_rng(seed), output)
    return build(name).query(request).positions.tolist()
