"""What every strategy of the catalog promises. A new one is tested by its line in the catalog."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pt4al_backend.config import ProjectSettings
from pt4al_backend.config.catalog import BATCH_ORDERS, STRATEGIES
from pt4al_backend.query.confidence import confidences
from pt4al_backend.query.draws import uniform_order
from pt4al_backend.query.plan import strategy_of
from pt4al_backend.query.ranking import rank, split
from pt4al_backend.query.strategies import ModelOutput, Pool, Query, Request, Strategy, refine
from pt4al_backend.query.strategies.learned import SUBSET, Learned

ROUNDS = 4
LEARNED = [name for name in STRATEGIES if issubclass(STRATEGIES.load(name, Strategy), Learned)]
POOL = Pool(np.arange(1, 41), np.linspace(4, 0, 40), split(40, ROUNDS))


@pytest.fixture(autouse=True, scope="module")
def few_filters() -> Iterator[None]:
    """Refine asks each of its rules 15 times; the contract is the same for one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refine, "DEPTH", 1)
        patch.setattr(refine, "QUERIES", 1)
        yield


def build(name: str) -> Strategy:
    return STRATEGIES.load(name, Strategy)(name, batches=ROUNDS, first_query="stratified", sampler="margin")


@dataclass
class Case:
    strategy: Strategy
    pool: Pool
    posteriors: NDArray[np.float64] | None  # of the whole pool, as the model would give them
    features: NDArray[np.float32]  # likewise
    labelled: NDArray[np.float32]
    round: int
    query_size: int
    k: int
    seed: int

    def query(self, pool: Pool | None = None, k: int | None = None) -> Query:
        pool, k = pool or self.pool, self.k if k is None else k
        candidates = self.strategy.candidates(pool, self.round, k)
        output = None
        if self.posteriors is not None:
            _, row = np.unique(self.pool.ids, return_index=True)
            rows = row[np.searchsorted(np.sort(self.pool.ids), pool.ids[candidates])]
            posteriors = self.posteriors[rows]
            by_companion = np.round(np.random.default_rng(7).random(len(POOL.ids) + 10), 1)[rows % 50]
            more = {self.strategy.companion: by_companion, "drop_consistency": by_companion}
            output = ModelOutput(candidates, {**confidences(posteriors), **more})
            if self.strategy.needs:
                output = replace(
                    output, features=self.features[rows], labelled=self.labelled, posteriors=posteriors.astype(np.float32)
                )
        rng = np.random.default_rng(self.seed)
        return self.strategy.query(Request(pool, self.round, self.query_size, k, rng, output))


@st.composite
def cases(draw: st.DrawFn, name: str) -> Case:
    n = draw(st.integers(0, 50))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    ids = rng.choice(1000, n, replace=False) + 1
    losses = np.round(rng.exponential(size=n), 1)  # ties among them
    batches = np.empty(n, dtype=np.int64)
    batches[rank(losses, ids)] = split(n, ROUNDS)
    if draw(st.booleans()):
        losses[:] = np.nan
    # What earlier rounds took away: any batch may be thin or gone.
    kept = rng.random(n) < draw(st.sampled_from([1.0, 0.5])) * (batches != draw(st.integers(0, ROUNDS)))
    features = drawn_features(draw, n + 10)
    pool = Pool(ids[kept], losses[kept], batches[kept])
    classes = draw(st.integers(2, 5))
    posteriors = np.round(rng.dirichlet(np.ones(classes), len(pool.ids)), 1) if draw(st.booleans()) else None
    strategy = STRATEGIES.load(name, Strategy)(
        name,
        batches=ROUNDS,
        first_query=draw(st.sampled_from(["stratified", "hardest_batch", "batch:3", "batch:9", "top_k", "herding", "random"])),
        sampler=draw(st.sampled_from(["least_confidence", "margin", "entropy", "k_center", "herding"])),
        batch_order=draw(st.sampled_from(BATCH_ORDERS)),
        seed=draw(st.integers(0, 2**63 - 1)),
    )
    query_size = draw(st.integers(0, 20))
    return Case(
        strategy=strategy,
        pool=pool,
        posteriors=posteriors,
        features=features[:n][kept],
        labelled=features[n : n + draw(st.integers(0, 10))],
        round=draw(st.integers(1, 2 * ROUNDS + 1)),
        query_size=query_size,
        k=query_size + draw(st.integers(0, 40)),
        seed=draw(st.integers(0, 9)),
    )


def drawn_features(draw: st.DrawFn, n: int) -> NDArray[np.float32]:
    """Those of well-behaved networks and of others: all alike, all zero, of one number, near the ends of float32."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    drawn = rng.exponential(size=(n, draw(st.integers(1, 5)))) * draw(st.sampled_from([1.0, 1e37, 1e-37, 0.0]))
    if draw(st.booleans()):
        drawn = drawn[rng.integers(0, min(n, 3), n)]  # duplicates
    return (drawn + draw(st.sampled_from([0.0, 1.0]))).astype(np.float32)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
@given(data=st.data())
def test_strategy_keeps_the_contract(name: str, data: st.DataObject) -> None:
    case = data.draw(cases(name))
    pool, n = case.pool, len(case.pool.ids)
    query = case.query()

    # min(k, n) distinct tasks of the pool: all of a small one, none of an empty one, none for k = 0.
    assert query.positions.dtype == np.int64
    assert len(query.positions) == len(set(query.positions.tolist())) == min(case.k, n)
    assert set(query.positions.tolist()) <= set(range(n))

    # Scores are Label Studio's range and, within a batch, ascend in the order of the query.
    assert query.scores.shape == query.positions.shape
    assert np.all((query.scores >= 0) & (query.scores <= 1))
    for batch in np.unique(pool.batches):
        assert np.all(np.diff(query.scores[pool.batches[query.positions] == batch]) >= 0)

    # With a model, a strategy that names candidates picks among them, and they suffice.
    candidates = case.strategy.candidates(pool, case.round, case.k)
    assert len(candidates) == len(set(candidates.tolist()))
    assert np.array_equal(case.strategy.candidates(pool, case.round, case.k), candidates)
    if case.posteriors is not None and len(candidates):
        assert set(query.positions.tolist()) <= set(candidates.tolist())

    # The same seed gives the same query, in whatever order the pool comes.
    assert np.array_equal(case.query().positions, query.positions)
    shuffled = np.random.default_rng(1).permutation(n)
    other = pool.take(shuffled)
    assert other.ids[case.query(other).positions].tolist() == pool.ids[query.positions].tolist()

    # The reserve changes nothing about the query.
    assert set(case.query(k=case.query_size).positions.tolist()) == set(query.positions[: case.query_size].tolist())


STARTS_WITH_FEATURES = [name for name in STRATEGIES if "pretext_features" in build(name).needs]


@pytest.mark.parametrize("name", STARTS_WITH_FEATURES)
@given(data=st.data())
def test_pretext_learners_features_suffice_for_a_first_query(name: str, data: st.DataObject) -> None:
    """However many tasks there are, and whatever the features are."""
    n, query_size, reserve = (data.draw(st.integers(0, most)) for most in (40, 15, 30))
    features = drawn_features(data.draw, n + 1)[:n]
    output = ModelOutput(np.arange(n), {}, features, features[:0])

    def first(k: int) -> list[int]:
        pool = Pool(np.arange(n), np.full(n, np.nan), np.ones(n, np.int64))
        return build(name).query(Request(pool, 1, query_size, k, np.random.default_rng(0), output)).positions.tolist()

    picks = first(query_size + reserve)
    assert len(picks) == len(set(picks)) == min(query_size + reserve, n)
    assert set(first(query_size)) == set(picks[:query_size])


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_strategy_has_its_name_and_a_description(name: str) -> None:
    assert build(name).name == name
    assert build(name).__doc__
    assert STRATEGIES[name].summary


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_strategy_declares_whether_it_depends_on_the_ranking(name: str) -> None:
    unranked = Pool(POOL.ids, np.full(40, np.nan), np.zeros(40, dtype=np.int64))
    queries = [
        build(name).query(Request(pool, 1, 5, 10, np.random.default_rng(0))).positions.tolist() for pool in (POOL, unranked)
    ]
    assert (queries[0] != queries[1]) == build(name).depends_on_ranking


def drawn(name: str, n: int, seed: int, round: int = 2) -> list[int]:
    strategy = strategy_of(ProjectSettings(strategy=name, seed=seed), ROUNDS)
    return strategy.candidates(Pool(np.arange(n), np.full(n, np.nan), np.ones(n, np.int64)), round, 5).tolist()


@pytest.mark.parametrize("name", LEARNED)
def test_seed_and_round_decide_the_candidates_of_a_large_pool(name: str) -> None:
    n = 4 * SUBSET
    assert drawn(name, n, seed=1) == drawn(name, n, seed=1)
    for other in (drawn(name, n, seed=2), drawn(name, n, seed=1, round=3), drawn(name, n, seed=2, round=1)):
        assert len(set(other)) == SUBSET
        assert 0.2 < len(set(other) & set(drawn(name, n, seed=1))) / SUBSET < 0.3  # independent draws share a quarter


@pytest.mark.parametrize("name", LEARNED)
def test_whole_pool_as_candidates_is_the_same_for_all_seeds(name: str) -> None:
    by_round = np.argsort(uniform_order(np.arange(SUBSET), 2)).tolist()
    assert drawn(name, SUBSET, seed=1) == drawn(name, SUBSET, seed=2) == by_round


def test_confidences_of_other_tasks_are_refused() -> None:
    with pytest.raises(ValueError, match="10 candidates but margin of 3"):
        ModelOutput(np.arange(10), {"margin": np.full(3, 0.5)})


def test_output_of_a_diverged_model_is_refused() -> None:
    with pytest.raises(ValueError, match="margin is not finite"):
        ModelOutput(np.arange(2), {"margin": np.array([0.5, np.nan])})


def test_pool_of_unequal_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="3 ids, 2 losses and 3 batches"):
        Pool(np.arange(3), np.zeros(2), np.ones(3, dtype=np.int64))
