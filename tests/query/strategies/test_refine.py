"""Refine: rules filter the pool, and what they leave is covered."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pt4al_backend.query.confidence import confidences
from pt4al_backend.query.strategies import ModelOutput, Request, refine
from tests.support.querying import build, unranked


def directions(*degrees: float) -> NDArray[np.float32]:
    """Features that point this way."""
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


#: Three kinds of ten images, 110 degrees apart.
FEATURES = directions(*np.arange(10), *np.arange(120, 130), *np.arange(240, 250))


def picked(
    k: int, *, sure: tuple[int, ...] = (), labelled: tuple[float, ...] = (), seed: int = 0, size: int | None = None
) -> list[int]:
    posteriors = np.full((30, 2), [0.55, 0.45])
    posteriors[list(sure)] = [1, 0]
    output = ModelOutput(np.arange(30), confidences(posteriors), FEATURES, directions(*labelled))
    rng = np.random.default_rng(seed)
    return build("refine").query(Request(unranked(30), 2, k if size is None else size, k, rng, output)).positions.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_each_kind_is_queried_once(seed: int) -> None:
    assert sorted(pick // 10 for pick in picked(3, seed=seed)) == [0, 1, 2]


@pytest.mark.parametrize("seed", range(3))
def test_what_is_labelled_and_sure_is_not_queried(seed: int) -> None:
    assert sorted(pick // 10 for pick in picked(2, sure=tuple(range(10)), labelled=(2, 5, 8), seed=seed)) == [1, 2]


def test_reserve_reaches_what_was_filtered_out() -> None:
    assert sorted(picked(30, size=1)) == list(range(30))


def test_round_1_filters_by_the_pretext_learners_features() -> None:
    output = ModelOutput(np.arange(30), {}, FEATURES, FEATURES[:0])
    found = build("refine").query(Request(unranked(30), 1, 3, 3, np.random.default_rng(0), output))
    assert sorted(pick // 10 for pick in found.positions.tolist()) == [0, 1, 2]


def test_query_larger_than_the_parts_that_rules_see_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refine, "MOST_SEEN", 2)
    assert len(set(picked(12))) == 12
