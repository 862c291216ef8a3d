"""Mean average precision and its interval."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from pt4al_backend.learn.labels.average_precision import metrics, values
from pt4al_backend.learn.labels.intervals import LEAST_IMAGES

CLASSES = ("a", "b", "c", "nowhere")


def tallies(count: int, seed: int = 0, steps: int = 10) -> NDArray[np.float64]:
    """Posteriors with ties, and truths that follow them loosely; of the last class there is none."""
    rng = np.random.default_rng(seed)
    found = np.zeros((count, 2, len(CLASSES)))
    found[:, 0] = np.round(rng.random((count, len(CLASSES))) * steps) / steps
    found[:, 1] = rng.random((count, len(CLASSES))) < found[:, 0] * np.array([0.9, 0.5, 0.2, 0])
    return found


@pytest.mark.parametrize("steps", [5, 1_000_000])
def test_values_are_scikit_learns_with_ties_and_without(steps: int) -> None:
    given = tallies(60, steps=steps)
    (found,) = values(given, np.ones((1, 60), np.int64))
    for k in range(3):
        assert found[k] == pytest.approx(average_precision_score(given[:, 1, k], given[:, 0, k]))
    assert np.isnan(found[3])


def test_an_image_that_counts_twice_is_two_images() -> None:
    given, times = tallies(20), np.random.default_rng(1).integers(0, 4, (3, 20))
    for row, found in zip(times, values(given, times), strict=True):
        again = given.repeat(row, axis=0)
        np.testing.assert_allclose(found, values(again, np.ones((1, len(again)), np.int64))[0])


def test_the_mean_is_over_the_classes_that_are_there() -> None:
    found = metrics(tallies(60), CLASSES)
    there = [each["value"] for each in found["classes"].values() if each["value"] is not None]
    assert len(there) == 3
    assert found["value"] == pytest.approx(np.mean(there))
    assert (found["metric"], found["total"]) == ("mAP", 60)
    assert found["classes"]["nowhere"] == {"value": None, "low": None, "high": None, "picks": 0}


def test_intervals_hold_the_value_narrow_with_images_and_are_the_same_each_time() -> None:
    few, many = metrics(tallies(30), CLASSES), metrics(tallies(3000), CLASSES)
    assert few == metrics(tallies(30), CLASSES)
    for each in (few, many):
        assert each["low"] is not None
        assert each["value"] is not None
        assert each["high"] is not None
        assert 0 <= each["low"] < each["value"] < each["high"] <= 1
    assert many["high"] - many["low"] < (few["high"] - few["low"]) / 3  # type: ignore[operator]


def test_too_few_images_have_the_whole_interval() -> None:
    found = metrics(tallies(LEAST_IMAGES - 1, seed=3), CLASSES)
    assert (found["low"], found["high"]) == (0, 1)
    assert metrics(np.zeros((0, 2, 4)), CLASSES)["value"] is None
