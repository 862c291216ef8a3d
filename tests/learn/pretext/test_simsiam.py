"""SimSiam: its loss, the views it scores by, and its collapse."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pt4al_backend.learn.networks import ResNetForm, build
from pt4al_backend.learn.pretext.simsiam import SimSiam

pytestmark = pytest.mark.training


def noise(count: int, size: int = 32) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 3, size, size), dtype=np.uint8))


@pytest.fixture
def learner() -> SimSiam:
    torch.manual_seed(0)
    return SimSiam(build(ResNetForm.of((32, 32), 8)))


class Fixed(torch.nn.Module):
    """Projects every view to one point, and predicts from the first views another than from the second."""

    def __init__(self, first: list[float], second: list[float]) -> None:
        super().__init__()
        self.point, self.first, self.second = (torch.tensor(each) for each in ([1.0, 0.0], first, second))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        n = len(images) // 2
        return self.point.repeat(2 * n, 1), torch.cat([self.first.repeat(n, 1), self.second.repeat(n, 1)])


@pytest.mark.parametrize(
    ("first", "second", "loss"), [([2.0, 0.0], [9.0, 0.0], -1.0), ([-1.0, 0.0], [-1.0, 0.0], 1.0), ([1.0, 0.0], [0.0, 1.0], -0.5)]
)
def test_loss_is_the_negative_cosine_both_ways(learner: SimSiam, first: list[float], second: list[float], loss: float) -> None:
    learner.model = Fixed(first, second)
    np.testing.assert_allclose(learner.scores(noise(3))[:, 0], [loss] * 3)


def test_no_gradient_flows_through_the_projection_that_is_the_target(learner: SimSiam) -> None:
    learner.model.predictor[-1].weight.data.zero_()  # the prediction no longer depends on the body
    learner.loss((noise(4),), np.random.default_rng(0)).backward()
    assert all(not value.grad.any() for value in learner.body.parameters())


def test_training_draws_new_views_from_its_generator(learner: SimSiam) -> None:
    first, same, other = (learner.loss((noise(4),), np.random.default_rng(seed)).item() for seed in (0, 0, 1))
    assert first == same != other


def test_equal_images_have_equal_scores(learner: SimSiam) -> None:
    learner.model.eval()
    images = noise(8)
    images[5] = images[2]
    scores = learner.scores(images)
    assert torch.equal(scores[5], scores[2])
    assert not torch.equal(scores[3], scores[2])
    assert torch.equal(learner.scores(images), scores)


def test_collapsed_learner_ranks_nothing_and_the_reason_is_given(learner: SimSiam) -> None:
    with torch.no_grad():
        for seed in range(15):  # BatchNorm learns its statistics
            learner.loss((noise(20),), np.random.default_rng(seed))
    learner.model.eval()
    sound = learner.scores(noise(40)).detach().numpy()
    assert "collapsed" not in learner.quality(sound).reason
    torch.nn.init.zeros_(learner.model.projector[0].weight)
    torch.nn.init.ones_(learner.model.projector[1].bias)
    quality = learner.quality(learner.scores(noise(40)).detach().numpy())
    assert not quality.meaningful
    assert "collapsed" in quality.reason


@pytest.mark.parametrize(("cosine", "means"), [(0.05, "hardly sees two views"), (0.5, "")])
def test_learner_that_does_not_recognise_views_ranks_nothing(learner: SimSiam, cosine: float, means: str) -> None:
    scores = np.random.default_rng(0).normal(size=(50, learner.outputs))
    scores[:, 0] = np.linspace(-0.02, 0.02, 50) - cosine
    quality = learner.quality(scores)
    assert quality.meaningful is (means == "")
    assert means in quality.reason
