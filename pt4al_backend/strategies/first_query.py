"""The first query: what to ask while there is no model to be unsure. Shared by the strategies.

Accuracy in % after the first query, CIFAR-10, small ResNet-9, rotation loss, mean ± sd over n seeds:

    pool, K, initial weights                    n   random       stratified     hardest batch
    20,000, 500, fresh                          5   44.1 ± 1.0   44.6 ± .6      25.7 ± 1.3
    50,000, 1,000, fresh, the authors' losses   4   51.8 ± 1.0   53.0 ± 1.3     34.4 ± 1.1
    20,000, 500, fresh, minus random            6                +1.7 ± 1.6
    20,000, 500, pretext, minus random          4                -.6 ± 1.7      -11.7 ± 3.1
    50,000, 1,000, fresh, ResNet-18, the paper  20  47.5 ± 3.2                  55.2 ± 2.0

Of the 17 points that the hardest batch loses in the second row, about 6 go to unequal class counts and 10 to hardness.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.ranking import rank
from pt4al_backend.sampling import even_intervals, lowest, uniform_order
from pt4al_backend.strategies.strategy import Pool, Query


def uniform(pool: Pool, k: int, rng: np.random.Generator) -> Query:
    """Draws ``k`` tasks uniformly without replacement."""
    order = uniform_order(pool.ids, int(rng.integers(2**63)))
    return Query.by_place(lowest(order, pool.ids, k))


def stratified(pool: Pool, query_size: int, k: int, rng: np.random.Generator) -> Query:
    """Takes even intervals of the whole ranking; uniform if the pool is not ranked.

    The first ``query_size`` picks are at even intervals of the ranking, hardest first; the reserve up to ``k`` is at
    even intervals of what they leave. Deviates from the paper, which takes the hardest batch alone; why: see above.
    """
    if not pool.ranked:
        return uniform(pool, k, rng)
    return _spread([rank(pool.losses, pool.ids)], query_size, k)


def hardest_batch(pool: Pool, sweep: NDArray[np.int64], query_size: int, k: int, rng: np.random.Generator) -> Query:
    """Takes even intervals of the first batch that holds any, then of the next; uniform if the pool is not ranked.

    Source: PT4AL, section 4.3 and Algorithm 1, line "if i == 1". ``sweep`` int64[n] is each task's place in the sweep:
    0 in this round's batch, 1 in the next. A query longer than its batch, and the reserve, go on into the next ones.
    """
    if not pool.ranked:
        return uniform(pool, k, rng)
    ranking = rank(pool.losses, pool.ids)
    return _spread((ranking[sweep[ranking] == place] for place in np.unique(sweep)), query_size, k)


def _spread(groups: Iterable[NDArray[np.int64]], query_size: int, k: int) -> Query:
    """Fills the query, then the reserve, with even intervals of each group until they are full."""
    left = list(groups)
    picks = [np.empty(0, dtype=np.int64)]
    for wanted in (min(query_size, k), k - min(query_size, k)):
        for index, group in enumerate(left):
            taken = even_intervals(len(group), wanted)
            picks.append(group[taken])
            left[index] = np.delete(group, taken)
            wanted -= len(taken)
    return Query.by_place(np.concatenate(picks))
