"""Pools that are ranked, without images."""

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.ranking import cut_batches
from pt4al_backend.query.strategies import Pool


def task_ids(n: int, seed: int) -> NDArray[np.int64]:
    """Distinct ids in ascending order, with gaps as Label Studio leaves them."""
    return np.cumsum(np.random.default_rng(seed).integers(1, 9, n)).astype(np.int64)


def ranked(n: int, batches: int, seed: int) -> Pool:
    """A pool with random losses, cut into batches."""
    rng = np.random.default_rng(seed)
    ids, losses = task_ids(n, seed), rng.random(n)
    return Pool(ids, losses, cut_batches(ids, losses, batches, seed))
