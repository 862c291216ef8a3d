"""Control picks, by property."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pt4al_backend.config import ProjectSettings
from pt4al_backend.query.control_picks import draw_controls, held_back
from pt4al_backend.query.draws import uniform_order
from pt4al_backend.query.plan import fit_schedule
from tests.support.ranked import ranked, task_ids

seeds = st.integers(0, 2**32)


@given(st.integers(20, 300), st.integers(1, 8), st.integers(2, 12), st.floats(0, 0.5), seeds)
def test_control_picks_are_the_start_of_one_random_order_whatever_the_model_prefers(
    n: int, sweep: int, query: int, share: float, seed: int
) -> None:
    """Two models that agree on nothing leave the very same control picks: no model has a say in them."""
    schedule = fit_schedule(n, ProjectSettings(rounds=sweep, query_size=query, control_share=share))
    ids = task_ids(n, seed)
    order = ids[np.argsort(uniform_order(ids, seed))]

    def sweep_with(scores: NDArray[np.float64]) -> list[int]:
        free, drawn = ids, []
        for number in range(1, schedule.rounds + 1):
            held = held_back(free, schedule, number, seed)
            controls = held[: schedule.control]
            open_to_query = np.setdiff1d(free, held)
            query = open_to_query[np.argsort(scores[np.searchsorted(ids, open_to_query)])][: schedule.query - schedule.control]
            assert not set(query) & set(held)
            drawn += controls.tolist()
            free = np.setdiff1d(free, np.concatenate([controls, query]))
        return drawn

    rng = np.random.default_rng(seed)
    expected = order[: schedule.control * schedule.rounds].tolist()
    assert sweep_with(rng.random(n)) == expected
    assert sweep_with(uniform_order(ids, seed)) == expected  # a model that is surest of just these tasks
    assert sweep_with(-uniform_order(ids, seed)) == expected


def test_control_picks_look_like_the_pool() -> None:
    """The mean loss of many draws is the pool's, though the query takes the hardest first."""
    pool = ranked(2000, 10, 1)
    schedule = fit_schedule(2000, ProjectSettings(query_size=40))
    means = [pool.losses[np.isin(pool.ids, draw_controls(pool.ids, schedule.control, seed))].mean() for seed in range(400)]
    error = pool.losses.std() / np.sqrt(400 * schedule.control)
    assert abs(np.mean(means) - pool.losses.mean()) < 4 * error
