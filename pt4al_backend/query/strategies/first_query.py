"""The first query: what to label before there is a model that could be unsure. Shared by the strategies.

* ``stratified``: even intervals of the whole ranking, hardest first. Deviates from the paper.
* ``hardest_batch``: even intervals of b_1 (PT4AL, section 4.3 and Algorithm 1, line "if i == 1"); the same as ``batch:1``.
* ``batch:N``: even intervals of b_N. The published cold-start script takes ``batch:6``, whose file it calls batch_5.
* ``top_k``: the highest losses, the paper's ablation (section 6.3).
* ``herding``: covers the pool by the pretext learner's features (see ``herding``); by ``stratified`` where there are none.
* ``random``: uniform, which every rule falls back to in a pool that is not ranked.

``docs/results/first-query.md`` and ``docs/results/early.md`` have what each is worth. At the scale that was measured, stratified
is level with random, and the paper's rule well behind it.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.query.draws import even_intervals, lowest, uniform_order
from pt4al_backend.query.ranking import rank, rounds_until
from pt4al_backend.query.strategies.base import Pool, Query, Request


def pick(request: Request, rule: str, order: NDArray[np.int64]) -> Query:
    """Picks by one of the rules above; ``order`` int64[I] is that of the batches in a sweep. Scores are places.

    By batches: as long as there is no model, round i queries the batch that stands i - 1 places behind the first in the order. A
    query longer than its batch, and the reserve, continue in the next. A batch beyond the last one stands for the last.
    """
    pool, k = request.pool, max(0, request.k)
    if rule == "random" or not pool.ranked:
        return uniform(pool, k, request.rng)
    ranking = rank(pool.losses, pool.ids)
    if rule == "top_k":
        return Query.by_place(ranking[:k])
    if rule in ("stratified", "herding"):
        return _spread([ranking], request.query_size, k)
    first = 1 if rule == "hardest_batch" else int(rule.removeprefix("batch:"))
    wait = rounds_until(pool.batches, order, request.round, min(first, order.size))
    return _spread((ranking[wait[ranking] == rounds] for rounds in np.unique(wait)), request.query_size, k)


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
