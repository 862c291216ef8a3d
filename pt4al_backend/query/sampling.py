"""Sampling: positions at even intervals, confidence from posteriors, uniform orders, and the scores of a queue.

Confidences are low where the model is unsure: the lowest is asked first, as Label Studio serves the lowest score first.
Posteriors are softmax probabilities float[n, C], rows summing to one, from evaluation mode and without augmentation.
The published PT4AL code takes them from L2-normalised logits instead, which orders images differently from its Eq. 2.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

#: Least distance of two scores in a queue; far above what a float64 column or a JSON number could lose.
STEP = 1e-6
_WORD = (1 << 64) - 1


def even_intervals(n: int, k: int) -> NDArray[np.int64]:
    """Positions int64[min(k, n)] at even intervals of ``n``: distinct, ascending, the first one 0, the stride n / k.

    Source: PT4AL, section 4.3, the first query: "K points are sampled from the first batch at even intervals".
    """
    k = max(0, min(k, n))
    return np.arange(k, dtype=np.int64) * n // max(k, 1)


def _checked(posteriors: NDArray[np.floating]) -> NDArray[np.float64]:
    if posteriors.ndim != 2 or not posteriors.shape[1]:
        raise ValueError(f"expected posteriors [n, classes], got {list(posteriors.shape)}")
    if not np.isfinite(posteriors).all():
        raise ValueError("posteriors are not finite: the model has diverged")
    return posteriors.astype(np.float64)


def _unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Brings what rounding, or a caller, put outside [0, 1] to its ends."""
    inside: NDArray[np.float64] = np.clip(values, 0.0, 1.0)
    return inside


def least_confidence(posteriors: NDArray[np.floating]) -> NDArray[np.float64]:
    """The top-1 posterior float64[n] of each row: PT4AL, Eq. 2, whose sampler takes the K lowest.

    Raises:
        ValueError: posteriors of another shape, or not finite. So do ``margin`` and ``entropy``.
    """
    return _unit(_checked(posteriors).max(axis=1))


def margin(posteriors: NDArray[np.floating]) -> NDArray[np.float64]:
    """The highest posterior minus the second highest, float64[n]; with a single class the posterior itself."""
    p = _checked(posteriors)
    if p.shape[1] == 1:
        return _unit(p[:, 0])
    top = np.partition(p, -2, axis=1)
    return _unit(top[:, -1] - top[:, -2])


def entropy(posteriors: NDArray[np.floating]) -> NDArray[np.float64]:
    """One minus the entropy over its largest value, 1 - H / log C, float64[n]; with a single class 1."""
    p = _checked(posteriors)
    if p.shape[1] == 1:
        return np.ones(len(p))
    logarithm = np.log(p, out=np.zeros_like(p), where=p > 0)
    return _unit(1.0 + (p * logarithm).sum(axis=1) / np.log(p.shape[1]))


#: What the setting ``sampler`` may name.
SAMPLERS: dict[str, Callable[[NDArray[np.floating]], NDArray[np.float64]]] = {
    "least_confidence": least_confidence,
    "margin": margin,
    "entropy": entropy,
}


def confidences(posteriors: NDArray[np.floating]) -> dict[str, NDArray[np.float64]]:
    """All confidences float64[n] of posteriors float[n, C], by their names in ``SAMPLERS``."""
    return {name: confidence(posteriors) for name, confidence in SAMPLERS.items()}


def lowest(scores: NDArray[np.float64], ids: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Indices int64[min(k, n)] of the ``k`` lowest ``scores`` float64[n], lowest first, equal scores by lower id."""
    return np.lexsort((ids, scores))[: max(0, k)].astype(np.int64)


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The output function of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), a bijection of 64-bit words."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def uniform_order(ids: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """A number float64[n] in [0, 1) for each id, as good as uniform: sorting by it draws without replacement.

    It depends on the id and ``seed`` alone, so tasks that come or go leave the order of the others as it was.
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

    ``scores`` are what the strategy said of each place of the queue; values outside [0, 1] are brought to its ends.
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
    # Less the ramp, "ascends by a step" reads "does not descend", and "leaves room for those behind" is one bound for all.
    level = np.minimum(np.maximum.accumulate(_unit(scores) - ramp), 1.0 - (n - 1) * step)
    return _unit(level + ramp)
