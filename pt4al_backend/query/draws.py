"""Draws and orders: positions at even intervals, uniform orders, the lowest scores, and the scores of a queue."""

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.confidence import within_unit

#: Least distance of two scores in a queue; far above what a float64 column or a JSON number could lose.
STEP = 1e-6
_WORD = (1 << 64) - 1


def even_intervals(n: int, k: int) -> NDArray[np.int64]:
    """Positions int64[min(k, n)] at even intervals of ``n``: distinct, ascending, the first one 0, the stride n / k.

    Source: PT4AL, section 4.3, the first query: "K points are sampled from the first batch at even intervals".
    """
    k = max(0, min(k, n))
    return np.arange(k, dtype=np.int64) * n // max(k, 1)


def lowest(scores: NDArray[np.float64], ids: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Indices int64[min(k, n)] of the ``k`` lowest ``scores`` float64[n], lowest first, equal scores by lower id."""
    return np.lexsort((ids, scores))[: max(0, k)].astype(np.int64)


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The output function of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), a bijection of 64-bit words."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def uniform_order(ids: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """A number float64[n] in [0, 1) that depends on the id and ``seed`` alone: tasks that come or go leave the order of others.

    The numbers are as good as uniform, so sorting by them draws without replacement.
    """
    # SplitMix64 is a hash of a counter: the id is the counter, and the hashed seed where it starts from.
    start = _mix(np.array([seed & _WORD], dtype=np.uint64))
    words = _mix(start + ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def interleave(n_query: int, n_control: int) -> NDArray[np.bool_]:
    """Spreads control picks among a strategy's picks: bool[n_query + n_control], True where a control pick stands.

    They stand at even intervals, a control pick first, so that the model is measured from the first labels on.
    """
    places = np.zeros(n_query + n_control, dtype=np.bool_)
    places[even_intervals(places.size, n_control)] = True
    return places


def queue_scores(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores float64[n] that make Label Studio, which serves the lowest first, serve a queue in the order given.

    ``scores`` are the strategy's, one for each place of the queue; values outside [0, 1] are clipped.
    The result ascends by ``STEP`` at least (by 1 / n in a queue too long for that) and stays within [0, 1]. A score that
    already stands above its predecessors is kept; another is raised just above them, or lowered to leave room at the top.

    Raises:
        ValueError: a score that is not finite.
    """
    if not np.isfinite(scores).all():
        raise ValueError("a queue has a score that is not finite")
    n = scores.size
    step = min(STEP, 1.0 / max(n, 1))
    ramp = np.arange(n) * step
    # Less the ramp, "ascends by a step" reads "does not descend", and "leaves room for what follows" is one bound for all.
    level = np.minimum(np.maximum.accumulate(within_unit(scores) - ramp), 1.0 - (n - 1) * step)
    return within_unit(level + ramp)
