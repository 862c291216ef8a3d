"""Greedy k-center."""

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pt4al_backend.query.strategies.k_center import k_center


def line(*places: float) -> NDArray[np.float32]:
    return np.array(places, np.float32)[:, None]


NOTHING = line()


def radius(points: NDArray[np.float32], centres: NDArray[np.float32]) -> float:
    """How far the farthest point is from its nearest centre."""
    return float(np.sqrt(((points[:, None] - centres) ** 2).sum(2)).min(1).max())


def test_takes_the_farthest_from_all_that_is_there() -> None:
    assert k_center(line(0, 1, 4, 10, 6), line(0), 4).tolist() == [3, 2, 4, 1]


def test_starts_in_the_middle_where_nothing_is_there() -> None:
    assert k_center(line(0, 1, 5, 9, 10), NOTHING, 3).tolist() == [2, 0, 4]


def test_points_in_one_place_are_all_taken_by_index_once() -> None:
    assert k_center(line(0, 0, 0, 0), NOTHING, 9).tolist() == [0, 1, 2, 3]
    assert k_center(line(1, 1, 1), line(1, 1), 3).tolist() == [0, 1, 2]


def test_a_point_where_a_centre_is_comes_last() -> None:
    assert k_center(line(7, 2, 5), line(7), 3).tolist() == [1, 2, 0]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=3, max_size=8, unique=True), st.integers(1, 3))
def test_the_radius_is_at_most_twice_the_best(places: list[tuple[int, int]], k: int) -> None:
    """Gonzalez 1985."""
    points = np.array(places, np.float32)
    best = min(radius(points, points[list(chosen)]) for chosen in combinations(range(len(points)), k))
    assert radius(points, points[k_center(points, points[:0], k)]) <= 2 * best + 1e-4
