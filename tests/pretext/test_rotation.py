"""Rotation: the paper's loss, and whether it means anything on a pool."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pt4al_backend.augmentation import Centre
from pt4al_backend.minibatches import Images
from pt4al_backend.networks import Body, Form
from pt4al_backend.pixels import Pixels
from pt4al_backend.pretext.base import Quality
from pt4al_backend.pretext.rotation import Rotation, rotations
from pt4al_backend.settings import ProjectSettings
from pt4al_backend.training import Training, score
from tests import pools

CPU = torch.device("cpu")


class Corner(nn.Module):
    """Answers by hand: the orientation whose corner is brightest gets the logit 2, the others 0."""

    def forward(self, images: Tensor) -> Tensor:
        grey = images.float().mean(1)
        corners = torch.stack([grey[:, 0, 0], grey[:, -1, 0], grey[:, -1, -1], grey[:, 0, -1]], 1)
        return 2.0 * nn.functional.one_hot(corners.argmax(1), 4).float()


def test_the_views_are_the_four_quarter_turns() -> None:
    image = torch.arange(4).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    turned = [view[0].tolist() for view in rotations(image)]
    assert turned == [[[0, 1], [2, 3]], [[1, 3], [0, 2]], [[3, 2], [1, 0]], [[2, 0], [3, 1]]]


def test_the_loss_is_the_mean_cross_entropy_over_the_four_orientations() -> None:
    rotation = Rotation(Body(Form.of((16, 16), 8)))
    rotation.model = Corner()
    images = torch.zeros((2, 3, 4, 4), dtype=torch.uint8)
    images[0, :, 0, 0] = 200  # upright: every view is recognised
    images[1, :, 0, 3] = 200  # a quarter turn off: none is
    right, wrong = -np.log(np.exp(2) / (np.exp(2) + 3)), -np.log(1 / (np.exp(2) + 3))
    np.testing.assert_allclose(rotation.scores(images).numpy(), [[right, 1], [wrong, 0]])


def ranked(store: Path, make: Callable[[Path, int], Path], count: int, epochs: int) -> Quality:
    torch.manual_seed(0)
    rotation = Rotation(Body(Form.of(pools.SHAPE, 8)))
    with Pixels(make(store, count), pools.SHAPE) as pixels:
        images = Images(pixels, np.arange(count), Centre(pools.SHAPE))
        recipe = rotation.recipe(count, ProjectSettings(pretext_epochs=epochs), CPU, fresh=True)
        Training(rotation, images, recipe, device=CPU).run()
        return rotation.quality(score(rotation, images, 32, device=CPU))


def test_images_with_a_way_up_are_ranked_meaningfully(tmp_path: Path) -> None:
    quality = ranked(tmp_path / "store", pools.arrows, 80, epochs=8)
    assert quality.meaningful
    assert quality.reason == ""
    assert quality.accuracy is not None
    assert quality.accuracy > 0.6 > quality.chance == 0.25
    assert quality.spread > 0


def test_images_without_a_way_up_are_not_and_the_user_is_told_why(tmp_path: Path) -> None:
    quality = ranked(tmp_path / "store", pools.noise, 200, epochs=2)
    assert not quality.meaningful
    assert "no upright sense" in quality.reason


@pytest.mark.parametrize(("fresh", "given", "rate"), [(True, None, 0.1), (False, None, 0.01), (False, 0.3, 0.3)])
def test_weights_from_elsewhere_are_trained_more_gently_unless_the_user_says_otherwise(
    fresh: bool, given: float | None, rate: float
) -> None:
    recipe = Rotation(Body(Form.of((16, 16), 8))).recipe(500, ProjectSettings(learning_rate=given), CPU, fresh=fresh)
    assert recipe.learning_rate == rate
