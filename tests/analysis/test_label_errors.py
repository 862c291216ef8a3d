"""Suspected label errors."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from pt4al_backend.analysis import label_errors
from pt4al_backend.analysis.label_errors import Judged, Learn
from pt4al_backend.analysis.nearest_labelled import NeighbourVotes
from pt4al_backend.learn.frozen.heads import Standard
from pt4al_backend.learn.labels.class_labels import ClassLabels
from pt4al_backend.learn.labels.set_labels import SetLabels

SHARE = 0.05


def head(features: NDArray[np.floating], classes: int) -> Learn:
    """The head that rounds train."""
    space, standard = ClassLabels(tuple(map(str, range(classes)))), Standard.of(features)

    def learn(learned, targets):
        found = space.fit_head(standard(learned), targets, standard, balanced=False)
        return lambda others: space.posteriors_of(found.logits(others))

    return learn


def votes(features: NDArray[np.floating], classes: int) -> Learn:
    return lambda learned, targets: NeighbourVotes(learned, targets, classes, features.mean(0))


def judged(features: NDArray[np.floating], targets: NDArray[np.int64], learn: Learn, seed: int = 0) -> Judged:
    groups = np.arange(len(targets))
    return label_errors.judge(lambda places: features[places], targets, groups, learn, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("learner", [head, votes])
def test_first_tenth_holds_most_of_the_planted_errors(seed: int, learner) -> None:
    features, truth = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(len(truth))[:600]
    features, targets = features[drawn], truth[drawn].astype(np.int64)
    planted = rng.permutation(600)[: round(SHARE * 600)]
    targets[planted] = (targets[planted] + rng.integers(1, 10, len(planted))) % 10
    found = judged(features, targets, learner(features, 10), seed)
    first = found.suspects(targets)[:60]
    assert len(np.intersect1d(first, planted)) >= 0.7 * len(planted)
    assert (found.answers[planted] == truth[drawn][planted]).mean() > 0.7


def test_label_that_no_head_could_know_is_no_suspect() -> None:
    features = np.random.default_rng(0).normal(size=(21, 4)) + 8 * np.eye(3, 4)[np.append(np.arange(20) % 2, 2)]
    targets = np.append(np.arange(20) % 2, 2)
    found = judged(features, targets, head(features, 3))
    assert not found.is_judged[20]
    assert 20 not in found.suspects(targets)
    assert found.is_judged[:20].all()


@pytest.mark.parametrize("targets", [np.zeros(30, np.int64), np.empty(0, np.int64), np.array([0, 1]), np.arange(30)])
def test_nothing_is_suspected_where_there_is_nothing_to_compare(targets: NDArray[np.int64]) -> None:
    features = np.random.default_rng(0).normal(size=(len(targets), 4))
    found = judged(features, targets, head(features, 30))
    assert not found.is_judged.any()
    assert len(found.suspects(targets)) == 0


def test_two_labels_of_a_class_among_many_of_another_are_judged() -> None:
    features = np.random.default_rng(0).normal(size=(40, 4))
    targets = np.array([1, 1] + 38 * [0])
    features[:2, 0] += 20
    found = judged(features, targets, head(features, 2))
    assert found.is_judged.all()


def test_identical_images_do_not_vouch_for_each_other() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 4)) + 8 * np.eye(2, 4)[np.arange(60) % 2]
    features[1] = features[0]
    targets, groups = np.arange(60) % 2, np.arange(60)
    targets[[0, 1]] = 1
    groups[1] = 0
    found = label_errors.judge(lambda places: features[places], targets, groups, votes(features, 2), rng)
    assert set(found.suspects(targets)[:2].tolist()) == {0, 1}


def test_ten_thousand_classes_are_judged() -> None:
    rng = np.random.default_rng(0)
    targets = np.repeat(np.arange(10_000), 2)
    features = rng.normal(size=(10_000, 16))[targets] + rng.normal(0, 0.05, size=(20_000, 16))
    targets[:2] = targets[2]
    some = np.arange(500)
    read, learn = (lambda places: features[some][places]), votes(features, 10_000)
    found = label_errors.judge(read, targets[some], some, learn, rng)
    assert found.is_judged[:4].all()
    assert set(found.suspects(targets[some])[:4].tolist()) >= {0, 1}


def test_wrong_part_of_a_set_is_suspected() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((200, 3)) < 0.4
    features = 4 * truth + rng.normal(0, 0.4, (200, 3))
    targets = truth.copy()
    planted = rng.permutation(200)[:10]
    targets[planted, 1] ^= True
    space, standard = SetLabels(("a", "b", "c")), Standard.of(features)

    def learn(learned, given):
        found = space.fit_head(standard(learned), given, standard, balanced=False)
        return lambda others: space.posteriors_of(found.logits(others))

    found = label_errors.judge_sets(lambda places: features[places], targets, np.arange(200), learn, rng)
    assert len(np.intersect1d(found.suspects(targets)[:20], planted)) >= 7
