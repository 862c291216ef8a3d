"""What every pretext task promises; a new one is tested by being registered."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pt4al_backend import pretext
from pt4al_backend.augmentation import Centre
from pt4al_backend.minibatches import Images
from pt4al_backend.networks import Body, Form
from pt4al_backend.pixels import Pixels
from pt4al_backend.pretext.base import Pretext
from pt4al_backend.settings import ProjectSettings
from pt4al_backend.training import Training, score
from tests import pools

CPU = torch.device("cpu")
POOL = 21


@pytest.fixture(params=sorted(pretext.PRETEXTS))
def learner(request: pytest.FixtureRequest) -> Pretext:
    torch.manual_seed(0)
    return pretext.load(request.param)(Body(Form.of(pools.SHAPE, 8)))


@pytest.fixture
def store(tmp_path: Path) -> Pixels:
    return Pixels(pools.arrows(tmp_path / "store", POOL), pools.SHAPE)


def scores(learner: Pretext, store: Pixels, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = score(learner, Images(store, rows, Centre(pools.SHAPE)), 8, device=CPU)
    return result


def test_the_registered_name_is_the_classs_own(learner: Pretext) -> None:
    assert type(learner) is pretext.load(learner.name)


def test_scores_are_one_row_of_finite_float64_for_each_image(learner: Pretext, store: Pixels) -> None:
    result = scores(learner, store, np.arange(POOL))
    assert result.shape == (POOL, learner.outputs)
    assert result.dtype == np.float64
    assert np.isfinite(result).all()


def test_an_images_score_does_not_hang_on_what_it_is_scored_with(learner: Pretext, store: Pixels) -> None:
    result = scores(learner, store, np.arange(POOL))
    order = np.random.default_rng(0).permutation(POOL)
    np.testing.assert_array_equal(scores(learner, store, order), result[order])
    np.testing.assert_array_equal(scores(learner, store, np.array([13])), result[[13]])


def test_training_with_its_recipe_changes_the_shared_body_and_lowers_the_loss(learner: Pretext, store: Pixels) -> None:
    before = learner.body.layer4[1].conv2.weight.detach().clone()
    untrained = scores(learner, store, np.arange(POOL))[:, 0].mean()
    recipe = learner.recipe(POOL, ProjectSettings(pretext_epochs=15), CPU, fresh=True)
    Training(learner, Images(store, np.arange(POOL), Centre(pools.SHAPE)), recipe, device=CPU).run()
    assert not torch.equal(learner.body.layer4[1].conv2.weight, before)
    assert scores(learner, store, np.arange(POOL))[:, 0].mean() < untrained


def test_the_epochs_are_the_users(learner: Pretext) -> None:
    assert learner.recipe(500, ProjectSettings(pretext_epochs=7), CPU, fresh=True).epochs == 7


def test_losses_without_any_difference_are_not_meaningful_and_the_user_is_told_why(learner: Pretext) -> None:
    quality = learner.quality(np.ones((50, learner.outputs)))
    assert not quality.meaningful
    assert quality.reason.endswith(".")
    assert json.loads(json.dumps(asdict(quality)))["spread"] == 0
