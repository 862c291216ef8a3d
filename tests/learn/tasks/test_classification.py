"""Classification: what it refuses, weighs and answers, and its recipes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from pt4al_backend.config import ProjectSettings
from pt4al_backend.config.catalog import MAIN_TASKS
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.learn.labels.classes import balanced_weights
from pt4al_backend.learn.labels.intervals import share
from pt4al_backend.learn.loop import Recipe
from pt4al_backend.learn.networks import ResNetForm, build
from pt4al_backend.learn.tasks.base import MainTask
from pt4al_backend.learn.tasks.classification import Classification
from tests.support import learning, pools
from tests.support.images import CLASSES

pytestmark = pytest.mark.training

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def task(classes: tuple[str, ...] = CLASSES, **settings: object) -> Classification:
    torch.manual_seed(0)
    given = ProjectSettings(**settings)  # type: ignore[arg-type]
    return Classification(build(ResNetForm.of(pools.SHAPE, 8)), classes, pools.SHAPE, given)


def recipe(images: int, device: torch.device = CPU, fresh: bool = True, **settings: object) -> Recipe:
    return task(**settings).recipe(images, device, fresh=fresh)


@pytest.fixture
def pixels(tmp_path: Path) -> Iterator[FrameFile]:
    with FrameFile(pools.arrows(tmp_path / "store", 90), pools.SHAPE) as store:
        yield store


def test_classification_is_in_the_catalog() -> None:
    assert MAIN_TASKS.load("classification", MainTask) is Classification


@pytest.mark.slow
def test_classification_learns_what_a_person_can_see(pixels: FrameFile) -> None:
    train, test = np.arange(60), np.arange(60, 90)
    learned = task()
    learning.train(learned, pixels, train, pools.targets(train))
    (posteriors,) = learning.predictions(learned, pixels, test, pools.SHAPE)
    confidences, answers = learned.interpret((posteriors,))
    assert all(((values >= 0) & (values <= 1)).all() for values in confidences.values())
    np.testing.assert_array_equal(confidences["least_confidence"], posteriors.max(1))
    metrics = learned.metrics(learned.tally(answers, pools.targets(test)))
    assert (metrics["metric"], metrics["total"]) == ("accuracy", 30)
    assert metrics["value"] >= 0.8


def test_accuracy_comes_with_its_wilson_interval_and_the_balanced_one() -> None:
    answers = ["red"] * 6 + ["blue"] * 4
    metrics = task().metrics(task().tally(answers, np.array([0] * 6 + [2, 2, 0, 1])))
    assert metrics == {
        "metric": "accuracy",
        "value": 0.8,
        "low": pytest.approx(0.490, abs=1e-3),
        "high": pytest.approx(0.943, abs=1e-3),
        "total": 10,
        "balanced": pytest.approx((6 / 7 + 0 / 1 + 2 / 2) / 3),
        "classes": {
            name: {**share(np.arange(n) < right), "picks": n}
            for name, right, n in zip(CLASSES, (6, 0, 2), (7, 1, 2), strict=True)
        },
    }


def test_class_that_no_control_pick_has_is_left_out() -> None:
    found = task().metrics(task().tally(["red", "blue"], np.array([0, 0])))
    assert list(found["classes"]) == ["red"]
    assert found["classes"]["red"]["value"] == 0.5


def test_accuracy_without_control_picks_is_none() -> None:
    assert task().metrics(task().tally([], np.array([], np.int64)))["value"] is None


def test_balanced_accuracy_counts_each_class_that_has_images_once() -> None:
    targets = np.array([0, 0, 0, 0, 1])
    answers = [CLASSES[0]] * 5
    found = task().metrics(task().tally(answers, targets))
    assert (found["value"], found["balanced"]) == (0.8, 0.5)
    assert task().metrics(task().tally([], targets[:0]))["balanced"] is None


def test_diverged_model_is_an_error() -> None:
    with pytest.raises(TrainingImpossible, match="learning_rate"):
        task().interpret((np.array([[0.5, np.nan, 0.5]]),))


@pytest.mark.parametrize(("targets", "words"), [([], "none"), ([1, 1, 1], "only 'green'")])
def test_fewer_than_two_classes_are_refused(pixels: FrameFile, targets: list[int], words: str) -> None:
    with pytest.raises(TrainingImpossible, match=words):
        task().training_data(pixels, np.arange(len(targets)), np.array(targets, dtype=np.int64))


def test_label_that_is_no_class_is_refused(tmp_path: Path) -> None:
    assert np.array_equal(task().targets(["blue", "red"], None, tmp_path), [2, 0])  # type: ignore[arg-type]
    with pytest.raises(TrainingImpossible, match="'purple'"):
        task().targets(["blue", "purple"], None, tmp_path)


def test_balanced_weights_make_every_labelled_class_count_the_same() -> None:
    counts = np.array([6, 0, 2, 0])
    weights = balanced_weights(counts)
    assert weights[0] * 6 == weights[2] * 2
    assert weights[1] == weights[3] == 0
    assert (weights * counts).sum() / counts.sum() == pytest.approx(1)


def test_class_weights_raise_the_loss_of_rare_classes(pixels: FrameFile) -> None:
    targets = torch.tensor([0, 0, 0, 1])
    images = torch.randint(0, 255, (4, 3, pools.SIZE, pools.SIZE), dtype=torch.uint8)
    losses = []
    for setting in ("none", "balanced"):
        learned = task(("common", "rare"), class_weights=setting)
        with torch.no_grad():
            learned.model.head.bias.copy_(torch.tensor([5.0, -5.0]))
        learned.training_data(pixels, np.arange(4), targets.numpy())
        losses.append(learned.loss((images, targets), np.random.default_rng(0)).item())
    assert losses[1] > 1.5 * losses[0]


def test_paper_preset_gives_the_papers_recipe() -> None:
    paper = recipe(1000, preset="paper")
    assert paper == Recipe(epochs=200, minibatch_size=128, learning_rate=0.1, schedule="step", warmup=0.0)


@pytest.mark.parametrize(("device", "fresh", "epochs", "rate"), [(CPU, True, 30, 0.1), (GPU, False, 100, 0.05)])
def test_default_recipe_depends_on_the_device_and_the_weights(
    device: torch.device, fresh: bool, epochs: int, rate: float
) -> None:
    given = recipe(5000, device, fresh)
    assert (given.epochs, given.learning_rate, given.minibatch_size, given.schedule) == (epochs, rate, 128, "cosine")


def test_few_labels_get_enough_steps_unless_epochs_is_set() -> None:
    few = recipe(20)
    assert few.minibatch_size == 8
    assert few.epochs * 3 >= 200
    assert recipe(20, epochs=4).epochs == 4
