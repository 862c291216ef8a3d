"""The pool in two dimensions: groups stay apart, later images lie beside what they are alike to, and few images stand."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pt4al_backend.analysis.layout import Layout, NotFinite, Read

GROUPS, SIZE, WIDTH = 4, 60, 64


def silent(_: float) -> None:
    """A report that goes nowhere."""


def reading(features: NDArray[np.floating]) -> Read:
    return lambda positions: features[positions]


def laid_out(features: NDArray[np.floating], seed: int = 0) -> Layout:
    return Layout.of(reading(features), len(features), seed, silent)


@pytest.fixture(scope="module")
def groups() -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """Features of groups thirty times as far from each other as their members are, and the group of each."""
    of = np.repeat(np.arange(GROUPS), SIZE)
    noise = np.random.default_rng(1).normal(scale=1 / 30 / np.sqrt(WIDTH), size=(len(of), WIDTH))
    return (np.eye(WIDTH)[of] + noise).astype(np.float16), of


@pytest.fixture(scope="module")
def layout(groups: tuple[NDArray[np.float16], NDArray[np.int64]]) -> Layout:
    return laid_out(groups[0])


def distances(ones: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(ones[:, None].astype(np.float64) - others[None], axis=2))


def test_groups_stay_apart(layout: Layout, groups: tuple[NDArray[np.float16], NDArray[np.int64]]) -> None:
    between = distances(layout.positions, layout.positions)
    same = groups[1][:, None] == groups[1][None]
    assert between[same].max() < between[~same].min()


def test_later_images_lie_beside_their_twins_and_move_nothing(
    layout: Layout, groups: tuple[NDArray[np.float16], NDArray[np.int64]]
) -> None:
    twins = np.arange(0, len(layout), 7)
    grown = layout.with_later(reading(groups[0][twins]), len(twins), 0)
    assert np.array_equal(grown.positions[: len(layout)], layout.positions)
    found = distances(grown.positions[len(layout) :], layout.positions)
    beside = found[np.arange(len(twins)), twins]
    others = np.where(groups[1][twins][:, None] == groups[1][None], np.inf, found).min(1)
    assert (beside < others / 4).all()


def test_layout_outlives_its_file(layout: Layout, groups: tuple[NDArray[np.float16], NDArray[np.int64]], tmp_path: Path) -> None:
    layout.save(tmp_path)
    again = Layout.load(tmp_path)
    assert np.array_equal(again.positions, layout.positions)
    later = reading(groups[0][:3])
    assert np.array_equal(again.with_later(later, 3, 0).positions, layout.with_later(later, 3, 0).positions)


def test_same_seed_gives_the_same_layout(layout: Layout, groups: tuple[NDArray[np.float16], NDArray[np.int64]]) -> None:
    assert np.array_equal(laid_out(groups[0]).positions, layout.positions)


@pytest.mark.parametrize("images", [1, 2, 3, 10, 49, 50])
@pytest.mark.parametrize("kind", ["all different", "identical", "zero"])
def test_few_images_are_laid_out_and_later_ones_join_them(images: int, kind: str) -> None:
    rows = {"all different": np.random.default_rng(0).normal(size=(images, WIDTH)), "identical": np.ones((images, WIDTH))}
    features = rows.get(kind, np.zeros((images, WIDTH))).astype(np.float16)
    found = laid_out(features).with_later(reading(features), images, 0)
    assert found.positions.shape == (2 * images, 2)
    assert np.isfinite(found.positions).all()


def test_different_images_lie_in_different_places() -> None:
    for images in (2, 10, 50):
        features = np.random.default_rng(2).normal(size=(images, WIDTH)).astype(np.float32)
        assert len(np.unique(laid_out(features).positions, axis=0)) == images


def test_features_that_are_no_finite_numbers_are_refused(layout: Layout) -> None:
    features = np.ones((60, WIDTH), np.float16)
    features[[3, 7], 5] = np.inf, np.nan
    with pytest.raises(NotFinite, match="2 images") as error:
        laid_out(features)
    assert error.value.positions.tolist() == [3, 7]
    with pytest.raises(NotFinite):
        layout.with_later(reading(features), 60, 0)


def test_progress_rises_to_the_end(groups: tuple[NDArray[np.float16], NDArray[np.int64]]) -> None:
    shares: list[float] = []
    Layout.of(reading(groups[0]), len(groups[0]), 0, shares.append)
    assert len(shares) > 5
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_features_are_read_in_pieces() -> None:
    """What is read at a time does not grow with the pool, up to the sample that the main directions are found from."""
    features = np.random.default_rng(0).normal(size=(5_000, 8)).astype(np.float16)
    pieces: list[int] = []

    def read(positions: NDArray[np.int64]) -> NDArray[np.floating]:
        pieces.append(len(positions))
        return features[positions]

    Layout.of(read, 40, 0, silent).with_later(read, 5_000, 0)
    assert max(pieces) < 2_500
