"""Held-out images: how many, and what their losses are worth beside those of images that were learned."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pt4al_backend.learn.pretext.holdout import Scale, choose

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("images", "share", "held"),
    [(2, 0.1, 0), (20, 0.1, 5), (100, 0.1, 16), (1_000, 0.1, 100), (50_000, 0.1, 500), (1_000, 0.25, 250), (1_000, 0, 0)],
)
def test_held_out_share_stays_within_bounds(images: int, share: float, held: int) -> None:
    chosen = choose(images, share, np.random.default_rng(1))
    assert chosen.shape == (images,)
    assert chosen.sum() == held
    assert (chosen == choose(images, share, np.random.default_rng(1))).all()


def pool() -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Losses of 1,000 equally hard images, those of the held out a hundred times as large."""
    held = choose(1_000, 0.1, np.random.default_rng(2))
    return RNG.exponential(size=1_000) * np.where(held, 1.0, 0.01), held


def test_losses_of_held_out_images_are_scaled_to_the_others() -> None:
    losses, held = pool()
    scaled = Scale.of(losses, held)(RNG.exponential(size=500))
    places = np.searchsorted(np.sort(losses[~held]), scaled) / (~held).sum()
    for share in (0.1, 0.5, 0.9):
        assert np.quantile(places, share) == pytest.approx(share, abs=0.1)


def test_scale_keeps_the_order() -> None:
    unseen = np.sort(RNG.exponential(size=300))
    assert (np.diff(Scale.of(*pool())(unseen)) >= 0).all()
    inner = unseen[(unseen > 0.1) & (unseen < 1)]
    assert (np.diff(Scale.of(*pool())(inner)) > 0).all()


def test_extreme_losses_stay_within_the_pools() -> None:
    losses, held = pool()
    scaled = Scale.of(losses, held)(np.array([-1e9, 0.0, 1e9]))
    assert scaled.min() >= losses[~held].min()
    assert scaled.max() == losses[~held].max()


def test_scale_without_held_out_images_changes_nothing() -> None:
    losses = RNG.exponential(size=9)
    np.testing.assert_array_equal(Scale.of(losses, np.zeros(9, dtype=bool))(losses), losses)


def test_scale_of_equal_losses_is_no_error() -> None:
    held = np.arange(20) < 5
    assert Scale.of(np.ones(20), held)(np.ones(3)).tolist() == [1, 1, 1]


def test_scale_is_read_back_as_written(tmp_path: Path) -> None:
    scale = Scale.of(*pool())
    scale.save(tmp_path)
    losses = RNG.exponential(size=50)
    np.testing.assert_array_equal(Scale.load(tmp_path)(losses), scale(losses))
