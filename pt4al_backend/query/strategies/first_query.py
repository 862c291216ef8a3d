"""The first query: what to ask while there is no model to be unsure. Shared by the strategies.

* ``stratified``: even intervals of the whole ranking, hardest first. Deviates from the paper; why: see below.
* ``hardest_batch``: even intervals of b_1 (PT4AL, section 4.3 and Algorithm 1, line "if i == 1"); the same as ``batch:1``.
* ``batch:N``: even intervals of b_N. The published cold-start script takes ``batch:6``, whose file it calls batch_5.
* ``top_k``: the highest losses, the paper's ablation (section 6.3).
* ``random``: uniform, which is also what every rule comes to in a pool that is not ranked.

Accuracy in % after the first query, CIFAR-10, small ResNet-9, rotation loss, mean ± sd over n seeds:

    pool, K, initial weights                    n   random       stratified     hardest batch
    20,000, 500, fresh                          5   44.1 ± 1.0   44.6 ± .6      25.7 ± 1.3
    50,000, 1,000, fresh, the authors' losses   4   51.8 ± 1.0   53.0 ± 1.3     34.4 ± 1.1
    20,000, 500, fresh, minus random            6                +1.7 ± 1.6
    20,000, 500, pretext, minus random          4                -.6 ± 1.7      -11.7 ± 3.1
    50,000, 1,000, fresh, ResNet-18, the paper  20  47.5 ± 3.2                  55.2 ± 2.0
    5,000 of 16 px, 100, fresh, ResNet-18 w16   20  23.9 ± 2.1   24.9 ± 1.8     17.9 ± 1.5
    the same, pretext                           6   28.2 ± 2.2   27.7 ± 1.3

The last rows are the benchmark's (``docs/results.md``): over the twenty seeds stratified is 1.0 ± 2.5 points ahead of random
(p = .57 after correction), the hardest batch 6.0 ± 2.5 behind (p < .001).
Of the 17 points that the hardest batch loses in the second row, about 6 go to unequal class counts and 10 to hardness.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.draws import even_intervals, lowest, uniform_order
from pt4al_backend.query.ranking import rank, turns
from pt4al_backend.query.strategies.request import Pool, Query, Request


def ask(asked: Request, rule: str, order: NDArray[np.int64]) -> Query:
    """Picks by one of the rules above; ``order`` int64[I] is that of the batches in a sweep.

    By batches: as long as there is no model, round i asks what stands i - 1 places behind the first in the order. A query
    longer than its batch, and the reserve, go on into the next. A batch beyond the last one stands for the last.
    """
    pool, k = asked.pool, max(0, asked.k)
    if rule == "random" or not pool.ranked:
        return uniform(pool, k, asked.rng)
    ranking = rank(pool.losses, pool.ids)
    if rule == "top_k":
        return Query.by_place(ranking[:k])
    if rule == "stratified":
        return _spread([ranking], asked.query_size, k)
    first = 1 if rule == "hardest_batch" else int(rule.removeprefix("batch:"))
    waits = turns(pool.batches, order, asked.round, min(first, order.size))
    return _spread((ranking[waits[ranking] == rounds] for rounds in np.unique(waits)), asked.query_size, k)


def uniform(pool: Pool, k: int, rng: np.random.Generator) -> Query:
    """Draws ``k`` tasks uniformly without replacement."""
    order = uniform_order(pool.ids, int(rng.integers(2**63)))
    return Query.by_place(lowest(order, pool.ids, k))


def _spread(groups: Iterable[NDArray[np.int64]], query_size: int, k: int) -> Query:
    """Fills the query, then the reserve with what is left, by even intervals of each group until they are full."""
    left = list(groups)
    picks = [np.empty(0, dtype=np.int64)]
    for wanted in (min(query_size, k), k - min(query_size, k)):
        for index, group in enumerate(left):
            taken = even_intervals(len(group), wanted)
            picks.append(group[taken])
            left[index] = np.delete(group, taken)
            wanted -= len(taken)
    return Query.by_place(np.concatenate(picks))
