"""Rotation: the paper's loss, and whether it means anything on a pool."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pt4al_backend.learn.networks import ResNetForm, build
from pt4al_backend.learn.pretext.rotation import Rotation, rotations


class Corner(nn.Module):
    """Answers by hand: the orientation whose corner is brightest gets the logit 2, the others 0."""

    def forward(self, images: Tensor) -> Tensor:
        grey = images.float().mean(1)
        corners = torch.stack([grey[:, 0, 0], grey[:, -1, 0], grey[:, -1, -1], grey[:, 0, -1]], 1)
        return 2.0 * nn.functional.one_hot(corners.argmax(1), 4).float()


def test_views_are_the_four_quarter_turns() -> None:
    image = torch.arange(4).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    turned = [view[0].tolist() for view in rotations(image)]
    assert turned == [[[0, 1], [2, 3]], [[1, 3], [0, 2]], [[3, 2], [1, 0]], [[2, 0], [3, 1]]]


def test_loss_is_the_mean_cross_entropy_over_four_orientations() -> None:
    rotation = Rotation(build(ResNetForm.of((16, 16), 8)))
    rotation.model = Corner()
    images = torch.zeros((2, 3, 4, 4), dtype=torch.uint8)
    images[0, :, 0, 0] = 200  # upright: every view is recognised
    images[1, :, 0, 3] = 200  # a quarter turn off: none is
    right, wrong = -np.log(np.exp(2) / (np.exp(2) + 3)), -np.log(1 / (np.exp(2) + 3))
    np.testing.assert_allclose(rotation.scores(images).numpy(), [[right, 1], [wrong, 0]])


def test_frame_that_is_not_square_is_rotated_in_its_middle() -> None:
    wide = torch.arange(12).view(1, 1, 2, 6).expand(1, 3, 2, 6)
    assert [view[0].tolist() for view in rotations(wide)] == [view[0].tolist() for view in rotations(wide[..., 2:4])]
    assert torch.equal(rotations(wide.transpose(2, 3)), rotations(wide.transpose(2, 3)[:, :, 2:4]))


@pytest.mark.parametrize(("accuracy", "means"), [(0.3, "no upright sense"), (0.4, "")])
def test_learner_near_guessing_ranks_nothing(accuracy: float, means: str) -> None:
    losses = np.linspace(1, 2, 50)
    quality = Rotation(build(ResNetForm.of((16, 16), 8))).quality(np.stack([losses, np.full(50, accuracy)], 1))
    assert quality.meaningful is (means == "")
    assert means in quality.reason
    assert (quality.accuracy, quality.chance) == (pytest.approx(accuracy), 0.25)
