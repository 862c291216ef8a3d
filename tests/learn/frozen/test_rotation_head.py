"""Rotation on frozen features: what a cross-fitted head tells of images."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from pt4al_backend.learn.frozen import rotation_head
from pt4al_backend.learn.frozen.rotation_head import cross_fitted, scores_of

ROWS = np.arange(40)


def oriented(upright: NDArray[np.bool_], width: int = 8) -> NDArray[np.float16]:
    """Features of four orientations: told by the first four columns of images that have a way up, noise in all."""
    rng = np.random.default_rng(0)
    features = rng.normal(scale=0.3, size=(len(upright), 4, width))
    features[:, :, :4] += 3 * np.eye(4) * upright[:, None, None]
    return features.astype(np.float16)


def turned(features: NDArray[np.float16], block: int = 16) -> rotation_head.Turned:
    def read(rows: NDArray[np.int64]) -> Iterator[NDArray[np.float16]]:
        for start in range(0, len(rows), block):
            yield features[rows[start : start + block]]

    return read


def test_images_with_a_way_up_have_the_lower_loss() -> None:
    upright = ROWS % 4 > 0
    scores, _ = cross_fitted(ROWS, turned(oriented(upright)), np.random.default_rng(0))
    assert np.median(scores[upright, 0]) < scores[~upright, 0].min()
    assert scores[upright, 1].mean() > 0.9 > 0.7 > scores[~upright, 1].mean()


def test_no_image_is_scored_by_a_head_that_has_seen_it() -> None:
    """Noise of many columns can be learned by heart, and tells nothing of what was not learned."""
    noise = oriented(np.zeros(len(ROWS), np.bool_), width=400)
    scores, _ = cross_fitted(ROWS, turned(noise), np.random.default_rng(0))
    assert scores[:, 1].mean() < 0.5


def test_scores_do_not_depend_on_how_rows_are_read() -> None:
    features = oriented(ROWS % 2 > 0)
    one, other = (cross_fitted(ROWS, turned(features, block), np.random.default_rng(0))[0] for block in (7, 40))
    np.testing.assert_allclose(one, other, rtol=1e-9)


def test_head_of_a_draw_scores_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation_head, "MOST_LEARNED", 8)
    scores, _ = cross_fitted(ROWS, turned(oriented(np.ones(len(ROWS), np.bool_))), np.random.default_rng(0))
    assert scores[:, 1].mean() > 0.9


def test_later_images_are_scored_by_the_head_that_is_kept() -> None:
    features = oriented(np.ones(len(ROWS), np.bool_))
    _, head = cross_fitted(ROWS[:30], turned(features), np.random.default_rng(0))
    assert scores_of(features[30:], head)[:, 1].mean() == 1


def test_two_images_are_enough() -> None:
    scores, _ = cross_fitted(np.arange(2), turned(oriented(np.ones(2, np.bool_))), np.random.default_rng(0))
    assert np.isfinite(scores).all()
