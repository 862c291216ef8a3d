"""The rule by which labels tell whether to train the encoder too."""

import numpy as np
import pytest

from pt4al_backend.learn.frozen.comparison import FOLDS, Comparison, folds, is_due


def test_network_that_is_right_on_clearly_more_images_wins() -> None:
    head, full = np.zeros(30), np.zeros(30)
    full[:6] = 1
    assert Comparison.of(head, full).full_wins
    assert not Comparison.of(full, head).full_wins


def test_difference_within_one_standard_error_is_the_heads() -> None:
    head, full = np.zeros(30), np.zeros(30)
    head[:4], full[4:9] = 1, 1
    assert not Comparison.of(head, full).full_wins


@pytest.mark.parametrize("images", [0, 1, 30])
def test_equals_and_too_few_images_are_the_heads(images: int) -> None:
    assert not Comparison.of(np.ones(images), np.ones(images)).full_wins


@pytest.mark.parametrize(("labels", "compared", "due"), [(29, 0, False), (30, 0, True), (44, 30, False), (45, 30, True)])
def test_comparison_is_due_when_labels_have_grown_by_half(labels: int, compared: int, due: bool) -> None:
    assert is_due(labels, compared) is due


def test_parts_are_even_in_every_class_and_stand_a_class_with_one_label() -> None:
    targets = np.array([0] * 12 + [1] * 9 + [2])
    parts = folds(targets, seed=1)
    for kind in (0, 1):
        counts = np.bincount(parts[targets == kind], minlength=FOLDS)
        assert counts.max() - counts.min() <= 1
    assert np.bincount(parts).max() - np.bincount(parts).min() <= 1


def test_parts_spread_equal_sets_of_classes() -> None:
    targets = np.tile(np.array([[1, 0], [1, 1]], np.float32), (6, 1))
    parts = folds(targets, seed=0)
    assert np.bincount(parts[targets[:, 1] > 0], minlength=FOLDS).tolist() == [2, 2, 2]
