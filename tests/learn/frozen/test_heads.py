"""Linear heads on frozen features."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import nn

from pt4al_backend.learn.frozen.heads import LinearHead, Standard
from pt4al_backend.learn.frozen.rotation_head import head_of, write_head

SIDES = np.array([[5.0, 0.0, 1.0], [-5.0, 0.0, 1.0], [0.0, 9.0, 1.0]])


def blobs(count: int, kinds: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    targets = np.arange(count) % kinds
    return (100 + SIDES[targets] + rng.normal(scale=0.5, size=(count, 3))).astype(np.float32), targets


def fit(features: np.ndarray, targets: np.ndarray, classes: int, *, balanced: bool = False) -> LinearHead:
    standard = Standard.of(features)
    return LinearHead.fit(standard(features), targets, classes, standard, balanced=balanced)


@pytest.mark.parametrize("kinds", [2, 3])
def test_head_learns_classes_that_a_plane_separates(kinds: int) -> None:
    features, targets = blobs(60, kinds)
    assert (fit(features, targets, kinds).logits(features).argmax(1) == targets).all()


def test_class_without_a_label_is_never_predicted() -> None:
    features, targets = blobs(60)
    posteriors = softmax(fit(features, np.where(targets == 2, 4, targets), 5).logits(features), 1)
    assert posteriors[:, [2, 3]].max() == 0


def test_one_label_a_class_suffices_however_many_classes() -> None:
    features = np.eye(40, dtype=np.float32)
    assert (fit(features, np.arange(40), 40).logits(features).argmax(1) == np.arange(40)).all()


def test_layer_answers_as_the_head_does() -> None:
    features, targets = blobs(60)
    head, layer = fit(features, targets, 3), nn.Linear(3, 3)
    write_head(head, layer)
    np.testing.assert_allclose(layer(torch.from_numpy(features)).detach().numpy(), head.logits(features), atol=1e-2)
    np.testing.assert_allclose(head_of(layer).weights, head.weights, rtol=1e-5)


def test_balanced_head_leans_towards_the_rare_class() -> None:
    rng = np.random.default_rng(1)
    features, targets = rng.normal(size=(200, 3)).astype(np.float32), np.array([0] * 180 + [1] * 20)
    heads = (fit(features, targets, 2, balanced=balanced) for balanced in (False, True))
    plain, balanced = (softmax(head.logits(features), 1)[:, 1].mean() for head in heads)
    assert plain == pytest.approx(0.1, abs=0.02)
    assert balanced == pytest.approx(0.5, abs=0.1)


def test_feature_that_never_changes_does_no_harm() -> None:
    features, targets = blobs(60)
    features[:, 2] = 7.0
    assert np.isfinite(fit(features, targets, 3).weights).all()


def test_each_of_several_classes_is_learned_by_itself() -> None:
    features, targets = blobs(60)
    held = np.stack([targets == 0, targets != 1, targets < 9, targets > 9], 1)  # of the last two all have one, none the other
    standard = Standard.of(features)
    logits = LinearHead.fit_each(standard(features), held, standard).logits(features)
    assert ((logits > 0) == held).all()


def test_answers_that_no_feature_decides_are_the_same_under_dropout() -> None:
    head = LinearHead(np.zeros((3, 8)), np.array([0.0, 1.0, 0.0]))
    assert head.drop_consistency(np.ones((20, 8), np.float32), 0).tolist() == [1.0] * 20


def test_answer_that_one_feature_decides_is_the_same_as_often_as_it_is_kept() -> None:
    """Without the feature the other class is likelier. Each of three passes keeps it in a quarter of the images."""
    head = LinearHead(np.array([[0.0], [1.0]]), np.array([0.5, 0.0]))
    same = head.drop_consistency(np.ones((4000, 1), np.float32), 0)
    assert set(np.round(3 * same).astype(int).tolist()) == {0, 1, 2, 3}
    assert same.mean() == pytest.approx(0.25, abs=0.02)  # a standard deviation of 0.004


def test_what_is_kept_counts_more_so_that_many_features_outweigh_a_bias_as_before() -> None:
    head = LinearHead(np.stack([np.zeros(4000), np.ones(4000)]), np.array([2000.0, 0.0]))
    assert head.drop_consistency(np.ones((5, 4000), np.float32), 0).tolist() == [1.0] * 5
