"""Augmentation: the same for the same random numbers, and nothing but shifts, crops and mirrors."""

import numpy as np
import pytest
import torch

from pt4al_backend.augmentation import Centre, crop_and_flip, of_shape, unchanged


def squares(count: int, size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(1).integers(1, 256, (count, size, size, 3), dtype=np.uint8)


def test_the_centre_is_cut_out_and_nothing_is_random() -> None:
    images = squares(2, 10)
    np.testing.assert_array_equal(Centre((6, 6))(images), images[:, 2:8, 2:8])
    np.testing.assert_array_equal(Centre((10, 10))(images), images)


def test_small_images_are_shifted_by_up_to_four_in_thirty_two_pixels_and_mirrored_half_of_the_time() -> None:
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
def test_the_same_random_numbers_give_the_same_augmentation(stored: int, size: int) -> None:
    prepare, augment = of_shape((size, size))
    images = squares(6, stored)

    def augmented(seed: int) -> torch.Tensor:
        rng = np.random.default_rng(seed)
        return augment(torch.from_numpy(prepare(images, rng)).permute(0, 3, 1, 2), rng)

    assert augmented(3).shape == (6, 3, size, size)
    assert augmented(3).dtype == torch.uint8
    assert torch.equal(augmented(3), augmented(3))
    assert not torch.equal(augmented(3), augmented(4))


def test_larger_images_are_augmented_before_the_device() -> None:
    assert of_shape((65, 65))[1] is unchanged
    assert of_shape((64, 64))[1] is crop_and_flip
