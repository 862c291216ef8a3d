"""Random and the uncertainty strategies, which query the whole pool."""

import numpy as np
import pytest

from pt4al_backend.config.catalog import STRATEGIES
from pt4al_backend.query.confidence import confidences
from pt4al_backend.query.ranking import split
from pt4al_backend.query.strategies import ModelOutput, Pool, Request, Strategy

POOL = Pool(np.arange(1, 101), np.linspace(5, 0, 100), split(100, 10))
UNRANKED = Pool(POOL.ids, np.full(100, np.nan), POOL.batches)


def build(name: str) -> Strategy:
    return STRATEGIES.load(name, Strategy)(name, batches=10, first_query="stratified", sampler="least_confidence")


@pytest.mark.parametrize(
    ("name", "order"), [("least_confidence", [0, 2, 1, 3]), ("margin", [1, 0, 2, 3]), ("entropy", [2, 0, 1, 3])]
)
def test_query_follows_the_confidence_of_its_name_in_any_batch(name: str, order: list[int]) -> None:
    posteriors = np.array([[0.45, 0.43, 0.06, 0.06], [0.5, 0.5, 0, 0], [0.46, 0.18, 0.18, 0.18], [1, 0, 0, 0]])
    pool = Pool(np.arange(1, 5), np.arange(4.0), np.array([4, 3, 2, 1]))
    strategy = build(name)
    candidates = strategy.candidates(pool, 1, 2)
    assert candidates.tolist() == [0, 1, 2, 3]
    query = strategy.query(Request(pool, 1, 2, 4, np.random.default_rng(0), ModelOutput(candidates, confidences(posteriors))))
    assert query.positions.tolist() == order
    assert query.scores[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["least_confidence", "margin", "entropy"])
def test_query_without_a_model_takes_even_intervals_of_the_ranking(name: str) -> None:
    query = build(name).query(Request(POOL, 1, 10, 10, np.random.default_rng(0)))
    assert query.positions.tolist() == list(range(0, 100, 10))


@pytest.mark.parametrize("name", ["random", "least_confidence", "margin", "entropy"])
def test_query_without_model_and_ranking_is_uniform(name: str) -> None:
    times = np.zeros(100)
    for seed in range(400):
        times[build(name).query(Request(UNRANKED, 1, 5, 25, np.random.default_rng(seed))).positions] += 1
    # 400 draws of 25 in 100: 100 each, with a standard deviation of 8.7.
    assert np.all(np.abs(times - 100) < 40)
    assert times.std() > 4
