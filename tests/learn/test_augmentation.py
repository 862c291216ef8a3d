"""Augmentation: the same for the same random numbers, and nothing but shifts, crops and mirrors."""

from typing import Any

import numpy as np
import pytest
import torch

from pt4al_backend.images.mask_files import UNLABELLED
from pt4al_backend.learn.augmentation import Centre, Scenes, crop_and_flip, of_shape, unchanged


def squares(count: int, size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(1).integers(1, 256, (count, size, size, 3), dtype=np.uint8)


def test_centre_crops_the_middle_without_randomness() -> None:
    images = squares(2, 10)
    np.testing.assert_array_equal(Centre((6, 6))(images), images[:, 2:8, 2:8])
    np.testing.assert_array_equal(Centre((10, 10))(images), images)


def test_small_images_are_shifted_by_up_to_an_eighth_and_half_are_mirrored() -> None:
    images = torch.from_numpy(squares(1, 32)).permute(0, 3, 1, 2)
    padded = torch.nn.functional.pad(images[0], (4, 4, 4, 4))
    windows = {(dy, dx): padded[:, dy : dy + 32, dx : dx + 32] for dy in range(9) for dx in range(9)}
    found: set[tuple[int, int]] = set()
    mirrored = 0
    for augmented in crop_and_flip(images.expand(200, -1, -1, -1), np.random.default_rng(0)):
        plain = [at for at, window in windows.items() if torch.equal(window, augmented)]
        mirror = [at for at, window in windows.items() if torch.equal(window.flip(2), augmented)]
        assert len(plain) + len(mirror) == 1
        found.update(plain, mirror)
        mirrored += len(mirror)
    assert 70 < mirrored < 130
    assert {dy for dy, _ in found} == {dx for _, dx in found} == set(range(9))


@pytest.mark.parametrize(("stored", "size"), [(32, 32), (110, 96)])
def test_augmentation_of_images_is_repeated_by_its_generator(stored: int, size: int) -> None:
    prepare, augment = of_shape((size, size))
    images = squares(6, stored)

    def augmented(seed: int) -> torch.Tensor:
        rng = np.random.default_rng(seed)
        return augment(torch.from_numpy(prepare(images, rng)).permute(0, 3, 1, 2), rng)

    assert augmented(3).shape == (6, 3, size, size)
    assert augmented(3).dtype == torch.uint8
    assert torch.equal(augmented(3), augmented(3))
    assert not torch.equal(augmented(3), augmented(4))


def test_larger_images_are_augmented_on_the_cpu() -> None:
    assert of_shape((65, 65))[1] is unchanged
    assert of_shape((64, 64))[1] is crop_and_flip


# images with masks


def halves(count: int, shape: tuple[int, int] = (32, 48)) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Images that are dark on the left and light on the right, and masks that say 0 and 1 of it."""
    masks = np.zeros((count, *shape), np.uint8)
    masks[:, :, shape[1] // 2 :] = 1
    return np.repeat((40 + 180 * masks)[..., None], 3, 3), masks


def test_mask_moves_with_its_image_and_is_void_outside_the_frame() -> None:
    images, masks = Scenes((32, 48))(*halves(60), np.random.default_rng(0))
    assert (images.shape, images.dtype, masks.shape, masks.dtype) == ((60, 32, 48, 3), np.uint8, (60, 32, 48), np.uint8)
    assert set(np.unique(masks)) == {0, 1, UNLABELLED}
    light = images.mean(3) > 130
    known = masks != UNLABELLED
    assert (light[known] == (masks[known] == 1)).mean() > 0.97
    assert 0.5 < known.mean() < 1
    mirrored = sum(m[:, :10][m[:, :10] != UNLABELLED].mean() > 0.5 for m in masks if (m[:, :10] != UNLABELLED).any())
    assert 12 < mirrored < 48


def test_augmentation_of_scenes_is_repeated_by_its_generator() -> None:
    once, again, other = (Scenes((32, 48))(*halves(6), np.random.default_rng(seed)) for seed in (3, 3, 4))
    for k in (0, 1):
        np.testing.assert_array_equal(once[k], again[k])
        assert not np.array_equal(once[k], other[k])
