"""Nearest neighbours: all are found among few, nearly all among many, and the same ones each time."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pt4al_backend import neighbour_index
from pt4al_backend.neighbour_index import NeighbourIndex

Points = NDArray[np.float32]


def in_groups(count: int, width: int = 16, groups: int = 20, seed: int = 0) -> Points:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(groups, width))[rng.integers(0, groups, count)] + rng.normal(0, 0.3, (count, width))).astype(
        np.float32
    )


def by_all_pairs(points: Points, asked: Points, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    distances = np.linalg.norm(asked[:, None].astype(np.float64) - points[None], axis=2)
    nearest = np.argsort(distances, axis=1)[:, :count]
    return np.take_along_axis(distances, nearest, 1), nearest


def test_among_few_the_nearest_are_those_of_all_pairs() -> None:
    points, asked = in_groups(300), in_groups(40, seed=1)
    distances, places = NeighbourIndex(points).of(asked, 5)
    wanted, nearest = by_all_pairs(points, asked, 5)
    assert np.array_equal(places, nearest)
    np.testing.assert_allclose(distances, wanted, atol=1e-3)


def test_none_is_its_own_neighbour_not_even_among_its_copies() -> None:
    points = np.concatenate([np.ones((6, 4)), np.zeros((1, 4))]).astype(np.float32)
    distances, places = NeighbourIndex(points).others(np.arange(7), 3)
    assert not (places == np.arange(7)[:, None]).any()
    np.testing.assert_allclose(distances[:6], 0, atol=1e-3)
    np.testing.assert_allclose(distances[6], 2, atol=1e-3)


def test_among_many_nearly_all_are_found_and_each_time_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbour_index, "EXACT", 1_000)
    points = in_groups(6_000)
    asked = np.arange(0, 6_000, 20)
    distances, places = NeighbourIndex(points).others(asked, 8)
    _, nearest = by_all_pairs(points, points[asked], 9)
    found = np.mean([len(set(some) & set(all_of)) for some, all_of in zip(places.tolist(), nearest[:, 1:].tolist(), strict=True)])
    assert found > 7.5
    again = NeighbourIndex(points).others(asked, 8)
    assert np.array_equal(again[0], distances)
    assert np.array_equal(again[1], places)


def test_as_many_are_found_as_are_asked_for_however_few_its_lists_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbour_index, "EXACT", 1_000)
    monkeypatch.setattr(neighbour_index, "PROBED", 1)
    points = in_groups(3_000)
    points[0] = 100  # far from all others
    _, places = NeighbourIndex(points).others(np.arange(20), 500)
    assert (places >= 0).all()
    assert all(len(set(row)) == 500 for row in places.tolist())


def test_points_that_are_no_finite_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        NeighbourIndex(np.array([[1.0, np.nan]], np.float32))
