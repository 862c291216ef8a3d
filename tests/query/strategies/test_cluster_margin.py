"""Cluster margin: of the unsure, one of each kind."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pt4al_backend.query.strategies import ModelOutput, Request, cluster_margin
from tests.support.querying import build, query, unranked

#: Three kinds of five images on three axes; the third of each is in its middle.
KINDS = np.repeat(np.eye(3), 5, axis=0) + np.tile([-0.2, -0.1, 0.0, 0.1, 0.2], 3)[:, None] * np.roll(np.eye(3), 1, 1).repeat(5, 0)
FEATURES = KINDS.astype(np.float32)
NOTHING = FEATURES[:0]


def sure_of(*images: int) -> NDArray[np.float32]:
    """Posteriors of a model that is sure of these images, and of no other."""
    posteriors = np.full((len(FEATURES), 2), [0.55, 0.45], np.float32)
    posteriors[list(images)] = [1, 0]
    return posteriors


def picked(k: int, posteriors: NDArray[np.float32], **given: int) -> list[int]:
    return query("cluster_margin", k, FEATURES, NOTHING, posteriors=posteriors, **given)


def test_medoid_of_each_kind_is_queried() -> None:
    assert sorted(picked(3, sure_of())) == [2, 7, 12]


def test_what_the_model_is_sure_of_takes_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_margin, "UNSURE", 5)
    assert sorted(picked(2, sure_of(0, 1, 2, 3, 4))) == [7, 12]


def test_larger_kind_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_margin, "UNSURE", 4)
    assert picked(3, sure_of(0, 1, 5))[0] == 12  # kinds of three, four and five are unsure


def test_kinds_take_turns_in_the_reserve() -> None:
    picks = picked(15, sure_of(), query_size=3)
    assert [sorted(pick // 5 for pick in picks[start : start + 3]) for start in range(0, 15, 3)] == [[0, 1, 2]] * 5


def test_sure_images_follow_the_unsure_by_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_margin, "UNSURE", 3)
    posteriors = sure_of(0, 1, 2, 3, 4)
    posteriors[3] = [0.9, 0.1]
    picks = picked(15, posteriors, query_size=3)
    assert set(picks[:10]) == set(range(5, 15))
    assert picks[10:] == [3, 0, 1, 2, 4]


def test_round_1_clusters_the_whole_pool_by_the_pretext_learners_features() -> None:
    output = ModelOutput(np.arange(15), {}, FEATURES, NOTHING)
    found = build("cluster_margin").query(Request(unranked(15), 1, 3, 3, np.random.default_rng(0), output))
    assert sorted(found.positions.tolist()) == [2, 7, 12]
