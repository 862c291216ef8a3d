"""Intersection over union, against what a hand computes, and its intervals."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pt4al_backend.learn.labels.intervals import LEAST_IMAGES
from pt4al_backend.learn.labels.iou import metrics, ratios, tally

CLASSES = ("ground", "sun", "sea", "ship")
VOID = 255

PREDICTED = np.array([[0, 0, 1, 1], [0, 2, 2, 1]], np.uint8)
TRUTH = np.array([[0, 1, 1, VOID], [0, 2, 0, 1]], np.uint8)


def test_tally_counts_by_class_and_leaves_out_void() -> None:
    # ground: predicted at 3, true at 3, both at 2; sun: predicted at 2 (a third is void), true at 3, both at 2; sea 2, 1, 1
    assert tally(PREDICTED, TRUTH, 4).tolist() == [[2, 3, 3], [2, 2, 3], [1, 2, 1], [0, 0, 0]]


def test_mean_is_over_the_classes_that_occur() -> None:
    found = metrics(tally(PREDICTED, TRUTH, 4)[None], CLASSES)
    assert found["metric"] == "mIoU"
    assert found["total"] == 1
    each = {name: value["value"] for name, value in found["classes"].items()}
    assert each == {"ground": 2 / 4, "sun": 2 / 3, "sea": 1 / 2, "ship": None}
    assert found["value"] == pytest.approx((2 / 4 + 2 / 3 + 1 / 2) / 3)


def test_class_that_is_only_predicted_has_ratio_zero() -> None:
    only = tally(np.array([[3, 0]], np.uint8), np.array([[0, 0]], np.uint8), 4)
    assert ratios(only)[3] == 0


def test_areas_are_added_over_images_before_they_are_divided() -> None:
    tallies = np.array([[[1, 2, 1]], [[8, 8, 8]]])
    assert metrics(tallies, ["all"])["value"] == pytest.approx(9 / 10)


def test_interval_holds_the_value_and_narrows_with_more_images() -> None:
    rng = np.random.default_rng(0)
    both = rng.integers(20, 80, (400, 2))
    tallies = np.stack([both, both + rng.integers(0, 40, both.shape), both + rng.integers(0, 40, both.shape)], -1)
    widths = []
    for count in (10, 400):
        found = metrics(tallies[:count], CLASSES[:2])
        for interval in (found, *found["classes"].values()):
            assert 0 < interval["low"] < interval["value"] < interval["high"] < 1
        widths.append(found["high"] - found["low"])
    assert widths[1] < widths[0] / 3
    assert metrics(tallies, CLASSES[:2]) == found


def alike(images: int) -> NDArray[np.int64]:
    """Tallies of images that are all the same, in which a bootstrap finds no spread."""
    return np.tile(np.array([[4, 6, 5], [2, 2, 3]]), (images, 1, 1))


def test_too_few_images_have_the_whole_interval() -> None:
    for images, interval in ((1, (0, 1)), (LEAST_IMAGES - 1, (0, 1)), (LEAST_IMAGES, (4 / 7, 4 / 7))):
        found = metrics(alike(images), CLASSES[:2])
        assert found["classes"]["ground"]["value"] == pytest.approx(4 / 7)
        assert (found["classes"]["ground"]["low"], found["classes"]["ground"]["high"]) == pytest.approx(interval)
        assert ((found["low"], found["high"]) == (0, 1)) == (images < LEAST_IMAGES)


@pytest.mark.parametrize("where", ["truth", "prediction"])
def test_class_in_too_few_images_has_the_whole_interval(where: str) -> None:
    tallies = alike(20)
    tallies[LEAST_IMAGES - 1 :, 1] = 0
    assert interval(tallies) == (0, 1)
    tallies[-1, 1] = (0, 0, 1) if where == "truth" else (0, 1, 0)
    low, high = interval(tallies)
    assert 0 < low < high < 1


def interval(tallies: NDArray[np.int64]) -> tuple[float, float]:
    """That of the second class; those of the first and of the mean are narrower than all."""
    found = metrics(tallies, CLASSES[:2])
    for each in (found, found["classes"]["ground"]):
        assert 0 < each["low"] <= each["high"] < 1
    return found["classes"]["sun"]["low"], found["classes"]["sun"]["high"]


def test_value_without_images_or_known_pixels_is_none() -> None:
    for tallies in (np.zeros((0, 2, 3), np.int64), np.zeros((5, 2, 3), np.int64)):
        found = metrics(tallies, CLASSES[:2])
        assert (found["value"], found["low"], found["high"], found["total"]) == (None, None, None, len(tallies))
