"""K-means and its seeding."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from pt4al_backend.query.strategies import k_means as module
from pt4al_backend.query.strategies.k_means import k_means
from pt4al_backend.query.strategies.seeding import seeding


def to_each(places: list[float]) -> Callable[[int], NDArray[np.float32]]:
    points = np.array(places, np.float32)
    return lambda i: (points - points[i]) ** 2


def blobs(count: int, size: int, seed: int) -> NDArray[np.float32]:
    """Points around ``count`` places far apart, blob after blob."""
    rng = np.random.default_rng(seed)
    centres = np.eye(count, dtype=np.float32) * 100
    return (centres.repeat(size, 0) + rng.normal(size=(count * size, count))).astype(np.float32)


def test_seeds_are_drawn_in_proportion_to_the_square_of_their_distance() -> None:
    drawn = [seeding(0, 3, 2, to_each([0, 1, 3]), np.random.default_rng(seed))[1] for seed in range(2000)]
    # 1 : 9, so 200 of 2,000, with a standard deviation of 13
    assert abs(drawn.count(1) - 200) < 60
    assert set(drawn) == {1, 2}


def test_no_seed_is_drawn_twice_and_what_lies_on_seeds_comes_last() -> None:
    for seed in range(20):
        found = seeding(2, 5, 9, to_each([4, 0, 4, 9, 4]), np.random.default_rng(seed))
        assert found[0] == 2
        assert set(found[1:3].tolist()) == {1, 3}
        assert found[3:].tolist() == [0, 4]


@pytest.mark.parametrize("sample", [20_000, 60])
def test_blobs_far_apart_are_the_clusters(monkeypatch: pytest.MonkeyPatch, sample: int) -> None:
    monkeypatch.setattr(module, "SAMPLE", sample)
    clusters = k_means(blobs(6, 30, seed=1), 6, np.random.default_rng(0)).reshape(6, 30)
    assert (clusters == clusters[:, :1]).all()
    assert len(set(clusters[:, 0].tolist())) == 6


def test_more_clusters_than_places_leave_some_empty() -> None:
    clusters = k_means(np.array([[0, 0], [5, 5]] * 4, np.float32), 5, np.random.default_rng(0))
    assert len(set(clusters[::2].tolist())) == len(set(clusters[1::2].tolist())) == 1
    assert clusters[0] != clusters[1]
