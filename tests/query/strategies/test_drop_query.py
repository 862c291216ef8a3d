"""DropQuery: of what changes its class under dropout, one of each kind."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pt4al_backend.query.strategies import ModelOutput, Request, drop_query
from tests.support.querying import build, unranked

#: Three kinds of five images on three axes; the third of each is in its middle.
KINDS = np.repeat(np.eye(3), 5, axis=0) + np.tile([-0.2, -0.1, 0.0, 0.1, 0.2], 3)[:, None] * np.roll(np.eye(3), 1, 1).repeat(5, 0)
FEATURES = KINDS.astype(np.float32)


def picked(k: int, same: NDArray[np.float64] | None, query_size: int | None = None, seed: int = 0) -> list[int]:
    confidences = {} if same is None else {"drop_consistency": same}
    output = ModelOutput(np.arange(15), confidences, FEATURES, FEATURES[:0])
    request = Request(unranked(15), 2, k if query_size is None else query_size, k, np.random.default_rng(seed), output)
    return build("drop_query").query(request).positions.tolist()


def shares(**by_images: tuple[int, ...]) -> NDArray[np.float64]:
    """1 but for the images that are named by how many of three passes agree."""
    same = np.ones(15)
    for name, images in by_images.items():
        same[list(images)] = {"none": 0, "one": 1 / 3, "two": 2 / 3}[name]
    return same


def test_medoid_of_each_kind_that_changes_is_queried() -> None:
    assert sorted(picked(2, shares(two=(5, 6, 7, 8, 9, 10, 11, 12, 13, 14)))) == [7, 12]


def test_one_pass_that_differs_counts_where_few_differ_in_most() -> None:
    assert sorted(picked(3, shares(none=(1, 2, 3), one=(6, 7, 8), two=(11, 12, 13)))) == [2, 7, 12]


def test_most_passes_must_differ_where_enough_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drop_query, "ENOUGH", 3)
    assert sorted(picked(2, shares(none=(1, 2, 3), one=(6, 7, 8), two=(11, 12, 13)))) == [2, 7]


def test_what_never_changes_comes_last_and_at_random() -> None:
    orders = [picked(15, shares(two=(1, 2, 3)), query_size=1, seed=seed) for seed in range(5)]
    assert all(set(order[:3]) == {1, 2, 3} and sorted(order) == list(range(15)) for order in orders)
    assert len({tuple(order[3:]) for order in orders}) == 5


def test_first_query_is_the_medoid_of_each_kind() -> None:
    assert sorted(picked(3, None)) == [2, 7, 12]
