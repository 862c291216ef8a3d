"""ProbCover: balls that hold images of one kind."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pt4al_backend.query.strategies import ModelOutput, Request, prob_cover
from pt4al_backend.query.strategies.prob_cover import pure_radius
from tests.support.querying import build, query, unranked


def directions(*degrees: float) -> NDArray[np.float32]:
    """Features that point this way."""
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def apart(degrees: float) -> float:
    """The distance of two directions of unit length."""
    return float(2 * np.sin(np.radians(degrees) / 2))


#: Kinds of six, four and two images, 90 degrees or more apart.
KINDS = directions(0, 1, 2, 3, 4, 5, 120, 121, 122, 123, 240, 241)
NOTHING = KINDS[:0]


@pytest.fixture(autouse=True)
def three_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prob_cover, "KINDS", 3)


def kinds(picks: list[int]) -> list[int]:
    return np.digitize(picks, [6, 10]).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_largest_kind_is_queried_first_and_each_once(seed: int) -> None:
    assert kinds(query("prob_cover", 3, KINDS, NOTHING, seed)) == [0, 1, 2]


@pytest.mark.parametrize("seed", range(5))
def test_kind_with_a_label_is_covered(seed: int) -> None:
    assert kinds(query("prob_cover", 2, KINDS, directions(2.5), seed)) == [1, 2]


def test_round_1_covers_by_the_pretext_learners_features() -> None:
    output = ModelOutput(np.arange(12), {}, KINDS, NOTHING)
    found = build("prob_cover").query(Request(unranked(12), 1, 3, 3, np.random.default_rng(0), output))
    assert kinds(found.positions.tolist()) == [0, 1, 2]


def test_radius_is_the_largest_of_pure_balls() -> None:
    """Two kinds whose nearest images are 60 degrees apart: no ball smaller than that holds both."""
    rng = np.random.default_rng(0)
    both = directions(*np.linspace(0, 10, 30), *np.linspace(70, 80, 30))
    assert pure_radius(both, 2, rng) == pytest.approx(apart(60), abs=0.03)  # 95 %: the three nearest balls of 60 may be impure
    assert pure_radius(both[:30], 1, rng) == np.inf
    assert pure_radius(NOTHING, 3, rng) == np.inf


def test_radius_of_many_images_is_found_on_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prob_cover, "MOST_MEASURED", 20)
    both = directions(*np.linspace(0, 10, 30), *np.linspace(70, 80, 30))
    assert pure_radius(both, 2, np.random.default_rng(0)) == pytest.approx(apart(60), abs=0.03)


def test_what_is_left_when_all_is_covered_is_queried_in_a_random_order() -> None:
    orders = {tuple(query("prob_cover", 12, KINDS, KINDS, seed)) for seed in range(5)}
    assert len(orders) == 5
    assert all(sorted(order) == list(range(12)) for order in orders)
