"""Core-Set and its greedy k-center."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pt4al_backend.query.strategies.core_set import k_center


def line(*places: float) -> NDArray[np.float32]:
    return np.array(places, np.float32)[:, None]


NOTHING = line()


def radius(points: NDArray[np.float32], centres: NDArray[np.float32]) -> float:
    """How far the farthest point is from its nearest centre."""
    return float(np.sqrt(((points[:, None] - centres) ** 2).sum(2)).min(1).max())


def test_picks_are_the_farthest_from_all_centres() -> None:
    assert k_center(line(0, 1, 4, 10, 6), line(0), 4).tolist() == [3, 2, 4, 1]


def test_first_pick_without_centres_is_nearest_to_the_mean() -> None:
    assert k_center(line(0, 1, 5, 9, 10), NOTHING, 3).tolist() == [2, 0, 4]


def test_points_in_one_place_are_each_taken_once_by_index() -> None:
    assert k_center(line(0, 0, 0, 0), NOTHING, 9).tolist() == [0, 1, 2, 3]
    assert k_center(line(1, 1, 1), line(1, 1), 3).tolist() == [0, 1, 2]


def test_point_that_lies_on_a_centre_comes_last() -> None:
    assert k_center(line(7, 2, 5), line(7), 3).tolist() == [1, 2, 0]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=3, max_size=8, unique=True), st.integers(1, 3))
def test_radius_is_at_most_twice_the_best(places: list[tuple[int, int]], k: int) -> None:
    """Gonzalez 1985."""
    points = np.array(places, np.float32)
    best = min(radius(points, points[list(chosen)]) for chosen in combinations(range(len(points)), k))
    assert radius(points, points[k_center(points, points[:0], k)]) <= 2 * best + 1e-4


def test_common_offset_does_not_drown_differences() -> None:
    assert k_center(line(1e4 + 0.01, 1e4 + 1, 1e4 + 0.02), line(1e4), 3).tolist() == [1, 2, 0]


@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_features_near_the_ends_of_float32_are_distinguished(scale: float) -> None:
    assert k_center(scale * line(0, 1, 4, 10, 6), line(0), 4).tolist() == [3, 2, 4, 1]
