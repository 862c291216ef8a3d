"""PT4AL against the paper: section 4.3, Eq. 2 and Algorithm 1."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pt4al_backend.query.confidence import confidences
from pt4al_backend.query.ranking import rank, split
from pt4al_backend.query.strategies import ModelOutput, Pool, Query, Request
from pt4al_backend.query.strategies.pt4al import PT4AL

N, ROUNDS, K = 200, 10, 4


def ranked_pool(seed: int = 0) -> Pool:
    """200 tasks in ten batches of 20, in an order that tells nothing about their losses."""
    rng = np.random.default_rng(seed)
    ids, losses = rng.permutation(N) + 1000, rng.exponential(size=N)
    batches = np.empty(N, dtype=np.int64)
    batches[rank(losses, ids)] = split(N, ROUNDS)
    return Pool(ids, losses, batches)


def without(pool: Pool, ids: set[int]) -> Pool:
    kept = ~np.isin(pool.ids, list(ids))
    return Pool(pool.ids[kept], pool.losses[kept], pool.batches[kept])


def model(pool: Pool, seed: int = 1) -> NDArray[np.float64]:
    """Posteriors of every task of the pool under some model of three classes."""
    return np.random.default_rng(seed).dirichlet(np.ones(3), len(pool.ids))


def paper(sampler: str = "least_confidence") -> PT4AL:
    return PT4AL("pt4al", batches=ROUNDS, first_query="hardest_batch", sampler=sampler)


def query_of(
    strategy: PT4AL, pool: Pool, round: int, k: int, posteriors: NDArray[np.float64] | None, query_size: int = K
) -> Query:
    candidates = strategy.candidates(pool, round, k)
    output = None if posteriors is None else ModelOutput(candidates, confidences(posteriors[candidates]))
    return strategy.query(Request(pool, round, query_size, k, np.random.default_rng(0), output))


def hardest_first(pool: Pool) -> list[int]:
    return sorted(range(len(pool.ids)), key=lambda i: -pool.losses[i])


def test_paper_s_first_query_is_even_intervals_of_the_hardest_batch() -> None:
    pool = ranked_pool()
    query = query_of(paper(), pool, 1, K, None)
    assert query.positions.tolist() == hardest_first(pool)[:20][::5]


@pytest.mark.parametrize("round", range(2, ROUNDS + 1))
def test_round_i_queries_the_k_least_confident_of_batch_i(round: int) -> None:
    """Eq. 2: min_K { max F(b_i) }."""
    pool = ranked_pool()
    posteriors = model(pool)
    batch = [i for i in range(N) if pool.batches[i] == round]
    expected = sorted(batch, key=lambda i: posteriors[i].max())[:K]
    query = query_of(paper(), pool, round, K, posteriors)
    assert query.positions.tolist() == expected
    assert query.scores == pytest.approx(posteriors[expected].max(axis=1))


def test_algorithm_1_takes_k_of_each_batch_from_the_hardest_to_the_easiest() -> None:
    whole = pool = ranked_pool()
    queries: list[list[int]] = []
    for round in range(1, ROUNDS + 1):
        query = query_of(paper(), pool, round, K, None if round == 1 else model(pool, seed=round))
        queries.append(pool.ids[query.positions].tolist())
        pool = without(pool, set(queries[-1]))
    batch_of = dict(zip(whole.ids.tolist(), whole.batches.tolist(), strict=True))
    assert [[batch_of[i] for i in query] for query in queries] == [[i] * K for i in range(1, ROUNDS + 1)]
    assert len({i for query in queries for i in query}) == ROUNDS * K


def test_sweep_begins_again_after_the_last_batch() -> None:
    whole = ranked_pool()
    first = query_of(paper(), whole, 1, K, None)
    pool = without(whole, set(whole.ids[first.positions].tolist()))
    again = query_of(paper(), pool, ROUNDS + 1, K, model(pool))
    assert set(pool.batches[again.positions].tolist()) == {1}
    assert paper().candidates(pool, 2 * ROUNDS, K).tolist() == np.flatnonzero(pool.batches == ROUNDS).tolist()


def test_candidates_are_the_round_s_batch_as_long_as_it_holds_query_and_reserve() -> None:
    pool = ranked_pool()
    assert set(pool.batches[paper().candidates(pool, 3, 20)].tolist()) == {3}
    assert len(paper().candidates(pool, 3, 20)) == 20
    assert set(pool.batches[paper().candidates(pool, 3, 21)].tolist()) == {3, 4}
    assert set(pool.batches[paper().candidates(pool, 10, 21)].tolist()) == {10, 1}
    assert len(paper().candidates(pool, 3, N + 1)) == N
    assert len(paper().candidates(pool, 3, 0)) == 0


def test_thin_batch_is_used_up_before_the_next_one() -> None:
    whole = ranked_pool()
    gone = set(whole.ids[np.flatnonzero(whole.batches == 10)[3:]].tolist())
    pool = without(whole, gone)
    posteriors = np.where((pool.batches == 10)[:, None], [[0.9, 0.1]], [[0.5, 0.5]])
    query = query_of(paper(), pool, 10, 8, posteriors)
    assert pool.batches[query.positions].tolist() == [10] * 3 + [1] * 5


def test_empty_batch_is_passed_over() -> None:
    whole = ranked_pool()
    pool = without(whole, set(whole.ids[whole.batches == 5].tolist()))
    assert set(pool.batches[query_of(paper(), pool, 5, K, model(pool)).positions].tolist()) == {6}


@pytest.mark.parametrize(("sampler", "first"), [("least_confidence", 0), ("margin", 1), ("entropy", 2)])
def test_sampler_decides_what_unsure_means(sampler: str, first: int) -> None:
    posteriors = np.array([[0.45, 0.43, 0.06, 0.06], [0.5, 0.5, 0, 0], [0.46, 0.18, 0.18, 0.18]])
    pool = Pool(np.array([7, 8, 9]), np.array([3.0, 2.0, 1.0]), np.ones(3, dtype=np.int64))
    assert query_of(paper(sampler), pool, 1, 3, posteriors).positions[0] == first


def test_equal_confidences_go_by_id() -> None:
    pool = ranked_pool()
    query = query_of(paper(), pool, 4, K, np.full((N, 2), 0.5))
    assert pool.ids[query.positions].tolist() == sorted(pool.ids[pool.batches == 4].tolist())[:K]


def test_stratified_first_query_spans_the_ranking_and_its_reserve_the_rest() -> None:
    pool = ranked_pool()
    strategy = PT4AL("pt4al", batches=ROUNDS, first_query="stratified", sampler="least_confidence")
    order = hardest_first(pool)
    query = query_of(strategy, pool, 1, 13, None, query_size=10)
    assert query.positions[:10].tolist() == order[::20]
    left = [i for place, i in enumerate(order) if place % 20]
    assert query.positions[10:].tolist() == [left[0], left[63], left[126]]
    assert query.scores.tolist() == [place / 13 for place in range(13)]


def test_first_query_longer_than_the_hardest_batch_continues_in_the_next() -> None:
    pool = ranked_pool()
    order = hardest_first(pool)
    query = query_of(paper(), pool, 1, 24, None, query_size=24)
    assert query.positions.tolist() == order[:20] + order[20:40:5]


def test_paper_s_rule_without_a_model_moves_a_batch_a_round() -> None:
    pool = ranked_pool()
    assert query_of(paper(), pool, 3, K, None).positions.tolist() == hardest_first(pool)[40:60:5]


@pytest.mark.parametrize("first_query", ["stratified", "hardest_batch"])
def test_query_of_an_unranked_pool_is_uniform(first_query: str) -> None:
    ranked = ranked_pool()
    strategy = PT4AL("pt4al", batches=ROUNDS, first_query=first_query, sampler="least_confidence")
    times = np.zeros(N)
    for seed in range(200):
        pool = Pool(ranked.ids, np.full(N, np.nan), ranked.batches)
        times[strategy.query(Request(pool, 1, 20, 20, np.random.default_rng(seed))).positions] += 1
    # Each batch is queried 200 * 20 / 10 = 400 times, with a standard deviation of 18.
    assert np.all(np.abs(np.bincount(ranked.batches, times)[1:] - 400) < 80)


def first(rule: str, pool: Pool, k: int, round: int = 1, batch_order: str = "hard_first") -> list[int]:
    strategy = PT4AL("pt4al", batches=ROUNDS, first_query=rule, sampler="margin", batch_order=batch_order)
    return strategy.query(Request(pool, round, k, k, np.random.default_rng(0))).positions.tolist()


@pytest.mark.parametrize("number", range(1, ROUNDS + 1))
def test_any_batch_may_be_first(number: int) -> None:
    pool = ranked_pool()
    batch = hardest_first(pool)[20 * (number - 1) : 20 * number]
    assert first(f"batch:{number}", pool, K) == batch[::5]


def test_hardest_batch_is_batch_1() -> None:
    pool = ranked_pool()
    assert first("batch:1", pool, 50) == first("hardest_batch", pool, 50)


def test_first_query_past_the_last_batch_continues_in_the_hardest() -> None:
    pool = ranked_pool()
    assert pool.batches[first("batch:10", pool, 30)].tolist() == [10] * 20 + [1] * 10


def test_batch_beyond_the_last_stands_for_the_last() -> None:
    pool = ranked_pool()
    assert first("batch:99", pool, K) == first("batch:10", pool, K)


def test_top_k_takes_the_highest_losses() -> None:
    pool = ranked_pool()
    assert first("top_k", pool, 30) == hardest_first(pool)[:30]


def test_random_first_query_ignores_losses() -> None:
    pool = ranked_pool()
    unranked = Pool(pool.ids, np.full(N, np.nan), pool.batches)
    assert first("random", pool, 30) == first("random", unranked, 30) == first("top_k", unranked, 30)


@pytest.mark.parametrize(
    ("batch_order", "expected"),
    [
        ("hard_first", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1]),
        ("easy_first", [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 10]),
        ("interleaved", [1, 10, 2, 9, 3, 8, 4, 7, 5, 6, 1]),
    ],
)
def test_batches_follow_the_order_of_the_setting(batch_order: str, expected: list[int]) -> None:
    pool = ranked_pool()
    strategy = PT4AL("pt4al", batches=ROUNDS, first_query="stratified", sampler="margin", batch_order=batch_order)
    batches = [set(pool.batches[query_of(strategy, pool, i, K, model(pool)).positions].tolist()) for i in range(1, ROUNDS + 2)]
    assert batches == [{number} for number in expected]


def test_order_without_a_model_continues_from_the_first_batch() -> None:
    pool = ranked_pool()
    batches = [pool.batches[first("batch:3", pool, K, i, "easy_first")].tolist() for i in (1, 2, 3, 4)]
    assert batches == [[number] * K for number in (3, 2, 1, 10)]


def test_k_center_covers_the_batch_and_not_what_is_labelled() -> None:
    """Features on a line: batch 2 at 0, 1, … 19, the labelled images around 0."""
    pool = ranked_pool()
    strategy = PT4AL("pt4al", batches=ROUNDS, first_query="stratified", sampler="k_center")
    candidates = strategy.candidates(pool, 2, 25)
    by_id = candidates[np.argsort(pool.ids[candidates])]
    place = np.zeros(N)
    for number in (2, 3):
        place[by_id[pool.batches[by_id] == number]] = np.arange(20) + 100 * (number - 2)
    output = ModelOutput(candidates, {}, place[candidates, None].astype(np.float32), np.array([[0.0], [-1.0]], np.float32))
    query = strategy.query(Request(pool, 2, 25, 25, np.random.default_rng(0), output))
    assert place[query.positions[:3]].tolist() == [19, 9, 14]
    assert pool.batches[query.positions].tolist() == [2] * 20 + [3] * 5
    assert place[query.positions[20:22]].tolist() == [119, 100]
    assert np.all(np.diff(query.scores) > 0)
