"""The ranking: the pool sorted by pretext loss, cut into PT4AL's batches, with places for what arrives later.

Source: PT4AL (ECCV 2022), section 4.2 and Algorithm 1: sort the losses in descending order, divide the sorted pool into
I batches of equal size, b_1 the hardest. Arrays in, arrays out; nothing here knows how a loss was made.
"""

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.aliases import Ids
from pt4al_backend.config.catalog import BATCH_ORDERS
from pt4al_backend.query.draws import lowest, uniform_order


def _require_finite(losses: NDArray[np.float64]) -> None:
    broken = np.flatnonzero(~np.isfinite(losses))
    if broken.size:
        raise ValueError(f"{broken.size} of {losses.size} losses are not finite, the first is {losses[broken[0]]} at {broken[0]}")


def rank(losses: NDArray[np.float64], ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sorts a pool: indices int64[n] into ``losses`` float64[n], highest loss first, equal losses by lower id.

    The sort is numeric. The published PT4AL code sorts the losses as text, so that 9.9e-05 stands above 4.4: all 4,079
    values in exponent form, of 50,000, land in its first batch, which so holds 82 % of the *easiest* images.

    Raises:
        ValueError: a loss that is not finite, or not one id for each loss.
    """
    if losses.shape != ids.shape:
        raise ValueError(f"{losses.size} losses for {ids.size} ids")
    _require_finite(losses)
    return np.lexsort((ids, -losses)).astype(np.int64)


def split(n: int, batches: int) -> NDArray[np.int64]:
    """Cuts ``n`` ranked positions into equal slices: the batch number int64[n], 1..``batches``, of each position.

    Sizes differ by one at most, the first batches being the larger; with fewer positions than batches the last stay empty.

    Raises:
        ValueError: no batch to cut into, or a negative ``n``.
    """
    if batches < 1 or n < 0:
        raise ValueError(f"cannot cut {n} tasks into {batches} batches")
    sizes = np.full(batches, n // batches, dtype=np.int64)
    sizes[: n % batches] += 1
    return np.repeat(np.arange(1, batches + 1, dtype=np.int64), sizes)


def sweep(batches: int, order: str) -> NDArray[np.int64]:
    """The batches 1..``batches`` int64[batches] in the order in which the rounds of a sweep query them.

    ``hard_first`` is the paper's; ``easy_first`` its ablation (section 6.3, low loss first); ``interleaved`` takes turns
    from both ends: the hardest, the easiest, the second hardest, … In each, what is left to query is a range of batches.

    Raises:
        ValueError: there is no such order.
    """
    if order not in BATCH_ORDERS:
        raise ValueError(f"there is no order {order!r} of batches")
    numbers = np.arange(1, batches + 1, dtype=np.int64)
    if order == "hard_first":
        return numbers
    if order == "easy_first":
        return numbers[::-1]
    mixed = np.empty_like(numbers)
    mixed[::2], mixed[1::2] = numbers[: (batches + 1) // 2], numbers[::-1][: batches // 2]
    return mixed


def rounds_until(batches: NDArray[np.int64], order: NDArray[np.int64], round: int, first: int | None = None) -> NDArray[np.int64]:
    """How many rounds after ``round`` the batch of each task is due, int64[n], 0 to I - 1: sweep follows sweep.

    ``batches`` int64[n] are the tasks'; ``order`` int64[I] is a sweep's; ``first`` is the batch that round 1 queries, if it is
    not the first of the order.
    """
    place = np.argsort(order)
    start = 0 if first is None else place[first - 1]
    wait: NDArray[np.int64] = (place[(batches - 1) % order.size] - start - (round - 1)) % order.size
    return wait


def insert(
    losses: NDArray[np.float64],
    ranked_losses: NDArray[np.float64],
    ranked_batches: NDArray[np.int64],
    first_open: int,
    last_open: int | None = None,
) -> NDArray[np.int64]:
    """Finds the batch int64[m] of late arrivals with ``losses`` float64[m] among those still to come.

    An arrival joins the batch of the ranked task just above its place by loss (the first task's where there is none
    above), but never a batch before ``first_open`` or after ``last_open``, whose query has gone out, nor one past the
    last. The ranked tasks, ``ranked_losses`` float64[n] and ``ranked_batches`` int64[n], may come in any order and hold
    earlier late arrivals. The paper's pool is fixed; this is the extension that a growing one needs.

    Raises:
        ValueError: a loss that is not finite.
    """
    _require_finite(losses)
    _require_finite(ranked_losses)
    if not ranked_losses.size:
        return np.full(losses.size, first_open, dtype=np.int64)
    # Batches of equal losses ascend, and earlier arrivals sit in other batches than their losses say:
    # within the open range, the order of batches is the order of losses again.
    order = np.lexsort((ranked_batches, -ranked_losses))
    above = np.searchsorted(-ranked_losses[order], -losses, side="right")
    found = ranked_batches[order][np.maximum(above - 1, 0)]
    last = ranked_batches.max() if last_open is None else last_open
    batches: NDArray[np.int64] = np.minimum(np.maximum(found, first_open), last)
    return batches


def shrink(pool: int, rounds: int, query_size: int) -> tuple[int, int]:
    """Fits a schedule to a small pool: ``(rounds, query_size)``, the largest that needs no more than ``pool`` tasks.

    The size of a query is kept as long as the pool holds one, and rounds are dropped; one round always remains.
    An empty pool gets one round of nothing.
    """
    query_size = min(query_size, pool)
    if query_size < 1:
        return 1, 0
    return max(1, min(rounds, pool // query_size)), query_size


def cut_batches(ids: Ids, losses: NDArray[np.float64], rounds: int, seed: int) -> Ids:
    """Cuts a pool into batches: the batch number 1..``rounds`` of each task.

    By pretext loss, hardest first (PT4AL, section 4.2). Without losses (all NaN: the pretext means nothing here) the
    batches are slices of a uniform order, which is the safer one: each then looks like the pool.
    """
    batches = np.zeros(len(ids), np.int64)
    known = bool(np.isfinite(losses).all())
    order = rank(losses, ids) if known else lowest(uniform_order(ids, seed), ids, len(ids))
    batches[order] = split(len(ids), rounds)
    return batches
