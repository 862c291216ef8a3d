"""Near-duplicates."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pt4al_backend.analysis import near_duplicates
from pt4al_backend.analysis.near_duplicates import THRESHOLD, Groups


def found(features: NDArray[np.floating], **options: float) -> Groups:
    features = features.astype(np.float16)
    return near_duplicates.find(lambda places: features[places], len(features), **options)


def members(groups: Groups) -> list[list[int]]:
    return [groups.positions[groups.groups == number].tolist() for number in np.unique(groups.groups)]


def planted(count: int, width: int, pairs: int, seed: int = 0) -> NDArray[np.float64]:
    """Features like an encoder's, none below zero, of which the first ``pairs`` are nearly repeated at the end."""
    rng = np.random.default_rng(seed)
    features = np.abs(rng.normal(size=(count, width)))
    features[count - pairs :] = features[:pairs] + rng.normal(0, 0.05, (pairs, width))
    return features


@pytest.mark.parametrize("seed", range(3))
def test_planted_pairs_are_found_and_nothing_else(seed: int) -> None:
    groups = found(planted(3_000, 256, 20, seed))
    assert sorted(members(groups)) == [[place, 2_980 + place] for place in range(20)]
    assert (groups.cosines >= THRESHOLD).all()


def test_what_hangs_together_is_one_group_and_the_largest_comes_first() -> None:
    features = planted(200, 64, 2)
    features[[50, 60, 70]] = features[40] * [[1.0], [1.1], [0.9]]
    assert members(found(features)) == [[40, 50, 60, 70], [0, 198], [1, 199]]


def test_groups_are_those_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(30, 80))[rng.integers(0, 30, 120)] + rng.normal(0, 0.3, (120, 80))
    shifted = features.astype(np.float16).astype(np.float64)
    shifted -= shifted.mean(0)
    shifted /= np.linalg.norm(shifted, axis=1, keepdims=True)
    near = shifted @ shifted.T >= 0.9
    groups = found(features, threshold=0.9)
    numbers = np.full(120, -1)
    numbers[groups.positions] = groups.groups
    alone = near.sum(1) == 1
    assert (numbers[alone] == -1).all()
    first, second = np.nonzero(near & ~alone[:, None] & ~alone)
    assert (numbers[first] == numbers[second]).all()


@pytest.mark.parametrize("features", [np.empty((0, 8)), np.ones((1, 8)), np.random.default_rng(0).normal(size=(2, 8))])
def test_too_few_images_have_no_groups(features: NDArray[np.float64]) -> None:
    assert members(found(features)) == []


def test_images_without_any_features_are_not_alike() -> None:
    assert members(found(np.zeros((50, 8)))) == []


def test_search_can_be_given_up() -> None:
    features = planted(100, 16, 1)

    def give_up() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        near_duplicates.find(lambda places: features[places], 100, give_up)
