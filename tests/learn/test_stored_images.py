"""Images in the frame file: with their targets or masks, prepared together, and damage noticed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.learn.augmentation import Centre
from pt4al_backend.learn.minibatches import cut_exactly, stream
from pt4al_backend.learn.stored_images import StoredImages, StoredPairs
from tests.support import pools


def test_images_come_with_their_targets_as_channels_first_pixels(tmp_path: Path) -> None:
    with FrameFile(pools.arrows(tmp_path / "store", 6), pools.SHAPE) as store:
        rows = np.array([4, 1, 5])
        images, targets = StoredImages(store, rows, Centre((12, 12)), rows * 10).minibatch(
            np.array([2, 0]), np.random.default_rng(0)
        )
        expected = store.read(np.array([5, 4]))[:, 2:14, 2:14]
    assert images.dtype == torch.uint8
    np.testing.assert_array_equal(images.permute(0, 2, 3, 1).numpy(), expected)
    assert targets.tolist() == [50, 40]


def test_images_and_masks_are_prepared_together(tmp_path: Path) -> None:
    masks = np.arange(3 * 256, dtype=np.int64).reshape(3, 16, 16).astype(np.uint8)

    def turned(
        images: NDArray[np.uint8], masks: NDArray[np.uint8], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        assert 0 <= rng.random() < 1
        return images[:, ::-1], masks[:, ::-1]

    with FrameFile(pools.arrows(tmp_path / "store", 6), pools.SHAPE) as store:
        pairs = StoredPairs(store, np.array([4, 1, 5]), masks, turned)
        images, ours = pairs.minibatch(np.array([2, 0]), np.random.default_rng(0))
        expected = store.read(np.array([5, 4]))[:, ::-1]
    assert len(pairs) == 3
    np.testing.assert_array_equal(images.permute(0, 2, 3, 1).numpy(), expected)
    np.testing.assert_array_equal(ours.numpy(), masks[[2, 0], ::-1])


def test_damaged_frame_file_raises_from_the_background_thread(tmp_path: Path) -> None:
    with FrameFile(pools.arrows(tmp_path / "store", 3), pools.SHAPE) as store:
        images = StoredImages(store, np.arange(9), Centre(pools.SHAPE))
        with pytest.raises(StoreCorrupt):
            stream(images, np.arange(9), 3, cut=cut_exactly, seeds=(), step=lambda *_: None, retreat=lambda size: None)
