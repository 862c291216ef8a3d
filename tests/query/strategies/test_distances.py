"""Distances in blocks, against distances one by one."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pt4al_backend.query.strategies import distances
from pt4al_backend.query.strategies.distances import closest, comparable, neighbours, of_length_one


@st.composite
def features(draw: st.DrawFn) -> NDArray[np.float32]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return rng.normal(size=(draw(st.integers(1, 30)), 3)).astype(np.float32)


def one_by_one(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    return ((a[:, None].astype(np.float64) - b) ** 2).sum(2)


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distances, "BLOCK", 40)  # several blocks, the last one shorter
        yield


@given(features(), features())
def test_the_closest_is_the_one_at_the_least_distance(points: NDArray[np.float32], others: NDArray[np.float32]) -> None:
    index, distance = closest(points, others)
    expected = one_by_one(points, others)
    assert distance == pytest.approx(expected.min(1), abs=1e-4)
    assert expected[np.arange(len(points)), index] == pytest.approx(expected.min(1), abs=1e-4)


@given(features(), st.integers(0, 40))
def test_neighbours_are_the_nearest_others(points: NDArray[np.float32], count: int) -> None:
    index, distance = neighbours(points, count)
    expected = one_by_one(points, points)
    np.fill_diagonal(expected, np.inf)
    k = min(count, len(points) - 1)
    assert index.shape == distance.shape == (len(points), k)
    assert np.sort(distance) == pytest.approx(np.sort(expected)[:, :k], abs=1e-4)
    for row, found in enumerate(index.tolist()):
        assert row not in found
        assert len(set(found)) == k


def test_twins_are_each_other_s_neighbours() -> None:
    index, distance = neighbours(np.ones((3, 2), np.float32), 1)
    assert (index[:, 0] != np.arange(3)).all()
    assert not distance.any()


def test_a_common_offset_does_not_drown_differences() -> None:
    points = np.array([[1e4], [1e4 + 0.01], [1e4 + 1]], np.float32)
    moved, _ = comparable(points, points[:0])
    _, distance = closest(moved[1:], moved[:1])
    assert distance[1] / distance[0] == pytest.approx(1e4, rel=0.1)


def test_lengths_are_one_and_zero_stays_zero() -> None:
    found = of_length_one(np.array([[3, 4], [0, 0], [3e30, 4e30], [3e-30, 4e-30]], np.float32))
    assert found == pytest.approx(np.array([[0.6, 0.8], [0, 0], [0.6, 0.8], [0.6, 0.8]]))
