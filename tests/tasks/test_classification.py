"""Classification: what it refuses, weighs and answers, and its recipes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pt4al_backend import tasks
from pt4al_backend.augmentation import Centre
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.minibatches import Images
from pt4al_backend.networks import Body, Form
from pt4al_backend.pixels import Pixels
from pt4al_backend.settings import ProjectSettings
from pt4al_backend.tasks.classification import Classification, balanced_weights
from pt4al_backend.training import Recipe, Training, score
from tests import pools
from tests.images import CLASSES

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def task(classes: tuple[str, ...] = CLASSES) -> Classification:
    torch.manual_seed(0)
    return Classification(Body(Form.of(pools.SHAPE, 8)), classes, pools.SHAPE)


def recipe(images: int, device: torch.device = CPU, fresh: bool = True, **settings: object) -> Recipe:
    return task().recipe(images, ProjectSettings(**settings), device, fresh=fresh)  # type: ignore[arg-type]


def test_it_is_registered() -> None:
    assert tasks.load("classification") is Classification


def test_it_learns_what_a_person_can_see_and_scores_with_posteriors(tmp_path: Path) -> None:
    train, test = np.arange(30), np.arange(30, 60)
    learned = task()
    learned.learn_from(pools.targets(train), ProjectSettings())
    with Pixels(pools.arrows(tmp_path / "store", 60), pools.SHAPE) as pixels:
        images = Images(pixels, train, learned.prepare, pools.targets(train))
        Training(learned, images, recipe(len(train), fresh=True), device=CPU).run()
        posteriors = score(learned, Images(pixels, test, Centre(pools.SHAPE)), 32, device=CPU)
    assert posteriors.dtype == np.float32
    np.testing.assert_allclose(posteriors.sum(1), 1, rtol=1e-5)
    metrics = learned.metrics(posteriors, pools.targets(test))
    assert metrics["total"] == 30
    assert metrics["correct"] >= 24


@pytest.mark.parametrize(("targets", "words"), [([], "none"), ([1, 1, 1], "only 'green'")])
def test_fewer_than_two_classes_cannot_be_learned(targets: list[int], words: str) -> None:
    with pytest.raises(TrainingImpossible, match=words):
        task().learn_from(np.array(targets, dtype=np.int64), ProjectSettings())


def test_balanced_weights_make_every_class_that_has_labels_count_the_same() -> None:
    targets = np.array([0] * 6 + [2] * 2)
    weights = balanced_weights(targets, 4)
    assert weights[0] * 6 == weights[2] * 2
    assert weights[1] == weights[3] == 0
    assert weights[targets].mean() == pytest.approx(1)


def test_class_weights_raise_the_loss_of_rare_classes() -> None:
    targets = torch.tensor([0, 0, 0, 1])
    images = torch.randint(0, 255, (4, 3, pools.SIZE, pools.SIZE), dtype=torch.uint8)
    losses = []
    for setting in ("none", "balanced"):
        learned = task(("common", "rare"))
        with torch.no_grad():
            learned.model.head.bias.copy_(torch.tensor([5.0, -5.0]))
        learned.learn_from(targets.numpy(), ProjectSettings(class_weights=setting))  # type: ignore[arg-type]
        losses.append(learned.loss((images, targets), np.random.default_rng(0)).item())
    assert losses[1] > 1.5 * losses[0]


def test_the_papers_preset_gives_the_papers_recipe() -> None:
    paper = recipe(1000, preset="paper")
    assert paper == Recipe(epochs=200, minibatch_size=128, learning_rate=0.1, schedule="step", warmup=0.0)


@pytest.mark.parametrize(("device", "fresh", "epochs", "rate"), [(CPU, True, 30, 0.1), (GPU, False, 100, 0.05)])
def test_the_default_recipe_hangs_on_the_machine_and_on_the_weights(
    device: torch.device, fresh: bool, epochs: int, rate: float
) -> None:
    given = recipe(5000, device, fresh)
    assert (given.epochs, given.learning_rate, given.minibatch_size, given.schedule) == (epochs, rate, 128, "cosine")


def test_few_labels_still_get_enough_steps_unless_the_user_counts_the_epochs() -> None:
    few = recipe(20)
    assert few.minibatch_size == 8
    assert few.epochs * 3 >= 200
    assert recipe(20, epochs=4).epochs == 4
