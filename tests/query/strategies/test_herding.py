"""Herding: greedy coverage, weighted by uncertainty."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pt4al_backend.query.strategies import ModelOutput, Pool, Request, Sizes, _coverage
from pt4al_backend.query.strategies._coverage import LIMITS, Limits
from pt4al_backend.query.strategies.herding import herd
from pt4al_backend.query.strategies.pt4al import PT4AL

Features = NDArray[np.float32]
NOTHING, NOTHING_OF_SIX = np.empty((0, 2), np.float32), np.empty((0, 6), np.float32)


def directions(*degrees: float) -> Features:
    """Features that point this way."""
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def herded(
    features: Features, covered: Features = NOTHING, k: int = 3, weights: list[float] | None = None, limits: Limits = LIMITS
) -> list[int]:
    given_weights = np.ones(len(features)) if weights is None else np.array(weights)
    return herd(
        features, covered, given_weights.astype(np.float32), Sizes(k, k), np.random.default_rng(0), limits=limits
    ).tolist()


def by_computing_all(features: Features, covered: Features, weights: NDArray[np.float32], k: int) -> float:
    """The coverage that plain greedy reaches, in float64 and with all pairs."""
    points, others = (each.astype(np.float64) / np.linalg.norm(each, axis=1, keepdims=True) for each in (features, covered))
    kernel = np.exp(-((points[:, None] - points[None]) ** 2).sum(2))
    cover = np.exp(-((points[:, None] - others[None]) ** 2).sum(2)).max(1, initial=0.0)
    for _ in range(min(k, len(points))):
        gains = (np.maximum(kernel - cover, 0) * weights).sum(1)
        cover = np.maximum(cover, kernel[gains.argmax()])
    return float(cover @ weights)


def coverage(features: Features, covered: Features, weights: NDArray[np.float32], picks: list[int]) -> float:
    points = np.concatenate([covered, features[picks]])
    points, targets = (each.astype(np.float64) / np.linalg.norm(each, axis=1, keepdims=True) for each in (points, features))
    cover = np.exp(-((targets[:, None] - points[None]) ** 2).sum(2)).max(1, initial=0.0)
    return float(cover @ weights)


def test_largest_group_is_covered_first_and_each_group_once() -> None:
    picks = herded(directions(0, 1, 2, 3, 120, 121, 122, 240, 241))
    assert np.digitize(picks, [4, 7]).tolist() == [0, 1, 2]


def test_what_is_labelled_is_covered_already() -> None:
    assert herded(directions(0, 1, 2, 120), covered=directions(1), k=1) == [3]


def test_unsure_tasks_are_covered_before_sure_ones() -> None:
    assert herded(directions(0, 1, 2, 120), weights=[0.01, 0.01, 0.01, 1.0], k=1) == [3]


def test_length_of_features_does_not_matter() -> None:
    groups = directions(0, 1, 2, 120, 121, 240)
    assert herded(groups * np.array([[1], [1e30], [1e-30], [7], [1], [2]], np.float32)) == herded(groups)


def test_equal_gains_go_to_the_lowest_index_until_all_are_taken() -> None:
    assert herded(directions(5, 5, 5, 5), k=9) == [0, 1, 2, 3]
    assert herded(np.zeros((3, 2), np.float32), k=9) == [0, 1, 2]


@given(st.integers(0, 2**32), st.integers(1, 120), st.integers(0, 5), st.integers(1, 12))
def test_bounds_lose_nothing_against_computing_all_gains(seed: int, n: int, known: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    features, covered = rng.normal(size=(n, 4)).astype(np.float32), rng.normal(size=(known, 4)).astype(np.float32)
    weights = rng.random(n).astype(np.float32)
    picks = herd(features, covered, weights, Sizes(k, k), rng).tolist()
    assert coverage(features, covered, weights, picks) == pytest.approx(by_computing_all(features, covered, weights, k), rel=1e-4)


@pytest.mark.parametrize("kept", [_coverage.MOST_KEPT, 0])
def test_large_pool_asks_a_draw_and_takes_its_picks_from_all(monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    monkeypatch.setattr(_coverage, "MOST_KEPT", kept)
    monkeypatch.setattr(_coverage, "BLOCK", 16)
    around = np.concatenate([np.arange(100) / 50, 120 + np.arange(60) / 50, 240 + np.arange(40) / 50])
    picks = herded(directions(*around), limits=Limits(covered=40))
    assert sorted(np.digitize(picks, [100, 160]).tolist()) == [0, 1, 2]


def parted(features: Features, sizes: Sizes, limits: Limits, seed: int = 0) -> list[int]:
    weights = np.ones(len(features), np.float32)
    return herd(features, features[:0], weights, sizes, np.random.default_rng(seed), limits=limits).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_parts_of_a_pool_find_together_what_covers_it(seed: int) -> None:
    limits = Limits(candidates=60, part=60)
    around = np.concatenate([np.arange(100) / 50, 120 + np.arange(60) / 50, 240 + np.arange(40) / 50])
    picks = parted(directions(*around), Sizes(3, 3), limits, seed)
    assert np.digitize(picks, [100, 160]).tolist() == [0, 1, 2]
    assert picks == parted(directions(*around), Sizes(3, 3), limits, seed)


@given(st.integers(0, 2**32), st.integers(0, 90), st.integers(0, 12), st.integers(0, 12))
def test_reserve_changes_no_query_of_a_pool_in_parts(seed: int, n: int, query: int, reserve: int) -> None:
    features = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
    limits = Limits(candidates=30, part=30)
    picks = parted(features, Sizes(query, query + reserve), limits, seed)
    assert len(set(picks)) == min(query + reserve, n)
    assert picks[:query] == parted(features, Sizes(query, query), limits, seed)


def pool(n: int, batches: list[int]) -> Pool:
    return Pool(np.arange(1, n + 1), np.linspace(2, 1, n), np.array(batches))


@pytest.mark.parametrize("limits", [Limits(covered=40), Limits(covered=40, candidates=0, part=200)])
def test_more_picks_than_were_drawn_still_cover_better_than_random_ones(limits: Limits) -> None:
    rng = np.random.default_rng(3)
    features, picks = rng.normal(size=(600, 6)).astype(np.float32), 160
    reached = {
        name: coverage(features, NOTHING_OF_SIX, np.ones(600, np.float32), chosen)
        for name, chosen in {
            "herded": herded(features, NOTHING_OF_SIX, picks, limits=limits),
            "random": rng.permutation(600)[:picks].tolist(),
            "all": herded(features, NOTHING_OF_SIX, picks),
        }.items()
    }
    assert reached["herded"] - reached["random"] > 0.25 * (reached["all"] - reached["random"])


def test_pt4al_herds_inside_its_batch() -> None:
    groups = directions(0, 1, 2, 120, 240, 241)
    strategy = PT4AL("pt4al", batches=2, first_query="herding", sampler="herding")
    confidences = {"margin": np.zeros(6), "least_confidence": np.zeros(6), "entropy": np.zeros(6)}
    output = ModelOutput(np.arange(6), confidences, groups, directions(1))
    request = Request(pool(6, [1, 1, 1, 1, 2, 2]), 1, 2, 5, np.random.default_rng(0), output)
    picks = strategy.query(request).positions.tolist()
    assert picks[0] == 3  # the only one of batch 1 that no label covers
    assert set(picks[:4]) == {0, 1, 2, 3}
    assert picks[4] in (4, 5)


def test_pt4al_herds_of_its_batch_what_covers_the_whole_pool() -> None:
    """Two of batch 1 are alike, and one is like three of batch 2."""
    groups = directions(0, 1, 120, 121, 122, 123)
    strategy = PT4AL("pt4al", batches=2, first_query="herding", sampler="herding")
    task = pool(6, [1, 1, 1, 2, 2, 2])
    assert strategy.candidates(task, 1, 1).tolist() == list(range(6))
    confidences = {"margin": np.zeros(6), "least_confidence": np.zeros(6), "entropy": np.zeros(6)}
    output = ModelOutput(np.arange(6), confidences, groups, NOTHING)
    query = strategy.query(Request(task, 1, 1, 1, np.random.default_rng(0), output))
    assert query.positions.tolist() == [2]


def test_first_query_by_herding_covers_the_pool_by_the_pretext_learners_features() -> None:
    strategy = PT4AL("pt4al", batches=2, first_query="herding", sampler="margin")
    assert "pretext_features" in strategy.needs
    output = ModelOutput(np.arange(6), {}, directions(0, 1, 2, 120, 240, 241), NOTHING)
    request = Request(pool(6, [1, 1, 1, 2, 2, 2]), 1, 3, 3, np.random.default_rng(0), output)
    assert np.digitize(strategy.query(request).positions, [3, 4]).tolist() == [0, 2, 1]


def test_first_query_by_herding_without_features_spreads_over_the_ranking() -> None:
    strategy = PT4AL("pt4al", batches=2, first_query="herding", sampler="margin")
    request = Request(pool(6, [1, 1, 1, 2, 2, 2]), 1, 3, 3, np.random.default_rng(0))
    assert strategy.query(request).positions.tolist() == [0, 2, 4]
