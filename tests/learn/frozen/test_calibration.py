"""How sure a model says that it is, against how often it is right."""

import numpy as np
import pytest

from pt4al_backend.learn.frozen.calibration import temperature, temperature_of
from pt4al_backend.learn.frozen.heads import LinearHead, Standard
from pt4al_backend.learn.labels.class_labels import ClassLabels
from pt4al_backend.learn.labels.image_labels import ImageLabels
from pt4al_backend.learn.labels.set_labels import SetLabels

WIDTH = 40
CLASSES = ("cat", "dog", "owl")


def overlapping(count: int, seed: int, distance: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Features of three classes that overlap, in more dimensions than there are labels to learn them by."""
    rng = np.random.default_rng(seed)
    targets = np.arange(count) % len(CLASSES)
    centres = distance * np.eye(len(CLASSES), WIDTH)
    return (centres[targets] + rng.normal(size=(count, WIDTH))).astype(np.float16), targets


def sets_of(targets: np.ndarray) -> np.ndarray:
    return np.eye(len(CLASSES), dtype=np.float32)[targets]


def fitted(space: ImageLabels, features: np.ndarray, targets: np.ndarray) -> tuple[LinearHead, float]:
    standard = Standard.of(features)
    head = space.fit_head(standard(features), targets, standard, balanced=False)
    return head, temperature(space, features, targets, standard, balanced=False, seed=0)


@pytest.mark.parametrize("seed", range(5))
def test_overconfident_head_is_as_sure_as_it_is_right(seed: int) -> None:
    space = ClassLabels(CLASSES)
    head, found = fitted(space, *overlapping(60, seed))
    fresh, truth = overlapping(3000, seed + 100)
    logits = head.logits(fresh)
    right = (logits.argmax(1) == truth).mean()
    raw, shown = (space.posteriors_of(logits / by).max(1).mean() for by in (1.0, found))
    assert raw - right > 0.2
    assert abs(shown - right) < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_overconfident_sets_become_more_likely(seed: int) -> None:
    space = SetLabels(CLASSES)
    features, targets = overlapping(60, seed)
    head, found = fitted(space, features, sets_of(targets))
    fresh, truth = overlapping(3000, seed + 100)
    likelihoods = (space.likelihoods(space.posteriors_of(head.logits(fresh) / by), sets_of(truth)) for by in (1.0, found))
    raw, shown = (np.log(np.maximum(each, 1e-9)).mean() for each in likelihoods)
    assert found > 1.5
    assert shown > raw + 0.1


def test_too_few_labels_leave_the_head_as_it_is() -> None:
    assert fitted(ClassLabels(CLASSES), *overlapping(6, 0))[1] == 1.0


def test_classes_with_one_label_each_stand() -> None:
    names = tuple(map(str, range(30)))
    features = np.random.default_rng(0).normal(size=(30, WIDTH)).astype(np.float16)
    assert 0 < fitted(ClassLabels(names), features, np.arange(30))[1] < np.inf


def test_parts_of_one_class_are_left_out() -> None:
    targets = np.zeros(12, np.int64)
    targets[-1] = 1  # the head that does not learn this label learns nothing
    features = np.random.default_rng(0).normal(size=(12, WIDTH)).astype(np.float16)
    assert fitted(ClassLabels(CLASSES), features, targets)[1] == 1.0


def answers(sureness: float, wrong: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits of thirty answers that are all as sure as each other, and the classes of the images; some answers are wrong."""
    targets = np.arange(30) % len(CLASSES)
    said = np.where(np.arange(30) < wrong, (targets + 1) % len(CLASSES), targets)
    return sureness * np.eye(len(CLASSES))[said], targets


@pytest.mark.parametrize(("sureness", "wrong"), [(9.0, 10), (0.5, 2)], ids=["too sure", "too unsure"])
def test_network_that_is_wrong_about_itself_is_as_sure_as_it_is_right_and_answers_the_same(sureness: float, wrong: int) -> None:
    space, (logits, targets) = ClassLabels(CLASSES), answers(sureness, wrong)
    found = temperature_of(space, logits, targets)
    assert (found > 1) == (sureness > 1)
    shown = space.posteriors_of(logits / found)
    assert shown.max(1) == pytest.approx(1 - wrong / 30, abs=0.01)
    assert np.array_equal(shown.argsort(1, kind="stable"), logits.argsort(1, kind="stable"))


def test_class_whose_only_label_no_network_had_learned_gives_a_temperature_all_the_same() -> None:
    logits, targets = answers(9.0, 10)
    logits, targets = np.pad(logits, ((0, 0), (0, 1)), constant_values=-1e4), targets.copy()
    targets[-1] = len(CLASSES)
    assert 1 < temperature_of(ClassLabels((*CLASSES, "rare")), logits, targets) < 20


def test_too_few_answers_leave_a_network_as_it_is() -> None:
    logits, targets = answers(9.0, 3)
    assert temperature_of(ClassLabels(CLASSES), logits[:9], targets[:9]) == 1.0


def test_head_of_ten_thousand_classes_is_calibrated_by_the_few_that_have_labels() -> None:
    features, targets = overlapping(60, 0)
    space = ClassLabels(tuple(f"class {number}" for number in range(10_000)))
    head, found = fitted(space, features, 3_000 * targets)
    assert found > 1
    answered = space.posteriors_of(head.logits(features) / found)
    assert set(answered.argmax(1)) == {0, 3_000, 6_000}
