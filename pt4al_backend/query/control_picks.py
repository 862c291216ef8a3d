"""Control picks: the tasks of a query that are drawn uniformly from the pool, so that they measure the model without bias.

Pure: arrays in, arrays out.
"""

from pt4al_backend.aliases import Ids
from pt4al_backend.query.draws import lowest, uniform_order
from pt4al_backend.query.plan import Schedule


def draw_controls(free: Ids, count: int, seed: int) -> Ids:
    """The ids int64[min(count, n)] of the next control picks: a draw without replacement that no model influenced.

    ``free`` int64[n] are the tasks that nobody has answered. All draws of a project follow one random order of the task ids.
    """
    return free[lowest(uniform_order(free, seed), free, count)]


def held_back(free: Ids, plan: Schedule, round_number: int, seed: int) -> Ids:
    """Ids int64[m] of the tasks that are kept for the control picks of this round and the sweep's later ones.

    A query must not take them: it prefers tasks of some kinds, so what it leaves would no longer look like the pool,
    and the control picks would measure the model with bias.
    """
    rounds_left = plan.rounds - (round_number - 1) % plan.rounds
    return draw_controls(free, plan.control * rounds_left, seed)
