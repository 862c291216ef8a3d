"""How images get into the one shape that a project's are stored in."""

import numpy as np
import pytest
from PIL import Image

from pt4al_backend.images.frames import choose, content, crop, fit, fit_ids, restore_ids
from tests.images.test_decode import BLUE, GREEN, RED, noise


def test_a_square_keeps_the_centre_of_the_longer_side() -> None:
    image = Image.new("RGB", (30, 10), RED)
    image.paste(BLUE, (10, 0, 20, 10))
    found = crop(image, (10, 10))
    assert found.shape == (10, 10, 3)
    assert found.dtype == np.uint8
    assert (found == BLUE).all()
    assert (crop(image.transpose(Image.Transpose.ROTATE_90), (10, 10)) == BLUE).all()


def test_a_square_of_the_same_size_keeps_its_pixels() -> None:
    image = noise(32, 32)
    assert np.array_equal(crop(image, (32, 32)), np.asarray(image))


def test_a_square_is_scaled_without_aliasing() -> None:
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (256, 128))).convert("RGB")
    assert np.abs(crop(stripes, (32, 32)).astype(int) - 128)[:, 1:-1].max() <= 2


def test_a_very_long_image_costs_no_more_than_its_square() -> None:
    assert crop(Image.new("RGB", (500_000, 4), GREEN), (224, 224)).shape == (224, 224, 3)


@pytest.mark.parametrize(
    ("sides", "gpu", "requested", "expected"),
    [
        ([8, 8, 8], False, None, (32, 32)),
        ([28] * 5, True, None, (32, 32)),
        ([32, 32, 1000], False, None, (32, 32)),
        ([50, 50], False, None, (48, 48)),
        ([64], True, None, (64, 64)),
        ([65], False, None, (128, 146)),
        ([480, 640, 32], True, None, (224, 256)),
        ([480], False, 128, (128, 146)),
        ([32], False, 50, (50, 50)),
        ([], False, None, (128, 146)),
    ],
)
def test_the_training_square_follows_the_pool(
    sides: list[int], gpu: bool, requested: int | None, expected: tuple[int, int]
) -> None:
    size, stored = expected
    sizes = [(side, 2 * side) for side in sides]
    assert choose("classification", sizes, gpu=gpu, requested=requested) == ((size, size), (stored, stored))


@pytest.mark.parametrize(
    ("sizes", "gpu", "requested", "expected"),
    [
        ([(480, 360)] * 3, False, None, (96, 128)),
        ([(480, 360)] * 3, False, 96, (80, 96)),  # 72 rows are no whole number of cells
        ([(2048, 1024)], True, None, (256, 512)),
        ([(1024, 2048)], True, None, (512, 256)),
        ([(100, 100), (480, 360), (480, 360)], False, None, (96, 128)),
        ([(40, 30)], False, None, (32, 48)),
        ([(5000, 20)], False, None, (32, 128)),
        ([], False, None, (96, 128)),
    ],
)
def test_a_segmenters_frame_has_the_aspect_of_the_pool_in_whole_cells(
    sizes: list[tuple[int, int]], gpu: bool, requested: int | None, expected: tuple[int, int]
) -> None:
    assert choose("segmentation", sizes, gpu=gpu, requested=requested) == (expected, expected)


def test_a_whole_image_fits_into_a_frame_and_is_mirrored_beyond() -> None:
    image = Image.new("RGB", (40, 10), RED)
    image.paste(BLUE, (20, 0, 40, 10))
    frame = fit(image, (32, 80))
    assert frame.shape == (32, 80, 3)
    assert (frame[:, :39] == RED).all()
    assert (frame[:, 41:] == BLUE).all()
    tall = fit(noise(8, 8), (16, 48))
    assert np.array_equal(tall[:, 16:32], tall[:, 15::-1])
    assert np.array_equal(tall[:, 32:48], tall[:, :16])


def test_a_mask_lies_in_the_frame_where_its_image_does() -> None:
    ids = np.zeros((10, 40), np.uint8)
    ids[:, 20:] = 3
    frame = fit_ids(ids, (32, 80))
    assert (frame[:, :40] == 0).all()
    assert (frame[:, 40:] == 3).all()
    assert (fit_ids(np.full((1, 1), 255, np.uint8), (16, 32)) == 255).all()


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (37, 91), (128, 96)])
def test_a_mask_comes_back_at_the_size_of_its_image(size: tuple[int, int]) -> None:
    width, height = size
    rows, columns = np.mgrid[:height, :width]
    ids = ((columns > width / 3).astype(np.uint8) + 2 * (rows > height / 2)).astype(np.uint8)
    back = restore_ids(fit_ids(ids, (96, 128)), size)
    assert back.shape == ids.shape
    assert (back == ids).mean() > 0.97


def test_a_mask_at_the_frames_own_size_comes_back_to_the_pixel() -> None:
    ids = np.random.default_rng(0).integers(0, 5, (96, 128)).astype(np.uint8)
    assert np.array_equal(restore_ids(ids, (128, 96)), ids)


def test_an_image_takes_up_at_least_a_pixel_of_its_frame() -> None:
    assert content((100_000, 4), (96, 128)) == (1, 128)
