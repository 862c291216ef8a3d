"""What every pretext task promises; a new one is tested by being registered."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pt4al_backend.config import ProjectSettings
from pt4al_backend.config.catalog import PRETEXTS
from pt4al_backend.learn import saved
from pt4al_backend.learn.inference import score
from pt4al_backend.learn.loop import Training
from pt4al_backend.learn.minibatches import Minibatch
from pt4al_backend.learn.networks import Body, ResNetForm, build
from pt4al_backend.learn.pretext.base import Pretext
from tests.support.images import arrow

pytestmark = pytest.mark.training

CPU = torch.device("cpu")
POOL = 21


class Frames:
    """A pool in memory: uint8 [n, 3, H, W]."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    @classmethod
    def of_arrows(cls, count: int, height: int, width: int) -> "Frames":
        side = max(height, width)
        images = [np.asarray(arrow(number, side).resize((width, height))) for number in range(count)]
        return cls(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))

    @classmethod
    def of_noise(cls, count: int, height: int, width: int) -> "Frames":
        return cls(torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 3, height, width), dtype=np.uint8)))

    def __len__(self) -> int:
        return len(self.images)

    def minibatch(self, positions: NDArray[np.int64], rng: np.random.Generator) -> Minibatch:
        return (self.images[torch.from_numpy(positions)],)


class Light(nn.Module):
    """A body of another make, quickly trained: one cell of its feature map for every 16 pixels."""

    features = 32
    form = None
    layer_decay = rate_share = 1.0

    def __init__(self) -> None:
        super().__init__()
        layers = []
        for before, after, stride in ((3, 16, 4), (16, 32, 2), (32, 32, 2)):
            layers += [nn.Conv2d(before, after, stride + 1, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.layers(images.float() / 255 - 0.5)
        return result


def ours() -> Body:
    return build(ResNetForm.of((32, 32), 8))


BODIES = {"our body": ours, "another body": Light}
FRAMES = {"square": (32, 32), "wide": (32, 48), "tall and large": (96, 80)}


@pytest.fixture(params=sorted(PRETEXTS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def learner(name: str) -> Pretext:
    return built(name, Light)


def built(name: str, body: Callable[[], Any]) -> Pretext:
    torch.manual_seed(0)
    return PRETEXTS.load(name, Pretext)(body())


def scores(learner: Pretext, frames: Frames, size: int = 8) -> NDArray[np.float64]:
    result: NDArray[np.float64] = score(learner, frames, size, device=CPU)
    return result


def train(learner: Pretext, frames: Frames, epochs: int = 15) -> None:
    recipe = learner.recipe(len(frames), ProjectSettings(pretext_epochs=epochs), CPU, fresh=True)
    Training(learner, frames, recipe, device=CPU).run()


def test_registered_name_is_the_classes_own(learner: Pretext) -> None:
    assert type(learner) is PRETEXTS.load(learner.name, Pretext)


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("frame", FRAMES)
def test_scores_are_a_row_of_finite_float64_per_image(name: str, body: str, frame: str) -> None:
    learner = built(name, BODIES[body])
    result = scores(learner, Frames.of_arrows(POOL, *FRAMES[frame]))
    assert result.shape == (POOL, learner.outputs)
    assert result.dtype == np.float64
    assert np.isfinite(result).all()


@pytest.mark.parametrize("frame", ["square", "wide"])
def test_score_does_not_depend_on_the_rest_of_the_minibatch(name: str, frame: str) -> None:
    learner, frames = built(name, ours), Frames.of_arrows(POOL, *FRAMES[frame])
    train(learner, frames, epochs=1)
    result = scores(learner, frames)
    order = np.random.default_rng(0).permutation(POOL)
    np.testing.assert_array_equal(scores(learner, Frames(frames.images[order])), result[order])
    np.testing.assert_array_equal(scores(learner, Frames(frames.images[[13]])), result[[13]])
    np.testing.assert_allclose(scores(learner, frames, size=5), result, rtol=1e-3, atol=1e-4)


def test_losses_under_bfloat16_do_not_tie(name: str) -> None:
    learner, frames = built(name, ours), Frames.of_noise(64, 32, 32)
    train(learner, frames, epochs=1)
    learner.model.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        result = learner.scores(frames.images)
    assert result.dtype == torch.float64
    assert len(result[:, 0].unique()) == 64


@pytest.mark.parametrize("body", BODIES)
def test_training_changes_the_whole_body_as_the_seed_decides(name: str, body: str) -> None:
    learner, again = built(name, BODIES[body]), built(name, BODIES[body])
    before = [value.clone() for value in learner.body.parameters()]
    frames = Frames.of_arrows(16, 32, 48)
    train(learner, frames, epochs=1)
    train(again, frames, epochs=1)
    for was, now, same in zip(before, learner.body.parameters(), again.body.parameters(), strict=True):
        assert not torch.equal(was, now)
        assert torch.equal(now, same)


def test_saved_learner_scores_later_imports_alike(learner: Pretext, tmp_path: Path) -> None:
    frames = Frames.of_arrows(16, 32, 32)
    train(learner, frames, epochs=1)
    saved.save(learner, tmp_path)
    loaded = type(learner)(Light())  # of other initial weights
    loaded.model.load_state_dict(torch.load(tmp_path / saved.WEIGHTS, weights_only=True))
    np.testing.assert_array_equal(scores(loaded, frames), scores(learner, frames))


@pytest.mark.parametrize("frame", ["square", "wide"])
def test_training_by_its_recipe_ranks_unseen_images_meaningfully(learner: Pretext, frame: str) -> None:
    seen, all_ = Frames.of_arrows(60, *FRAMES[frame]), Frames.of_arrows(90, *FRAMES[frame])
    untrained = scores(learner, seen)[:, 0].mean()
    train(learner, seen, epochs=30)
    result = scores(learner, all_)
    assert result[:60, 0].mean() < untrained
    quality = learner.quality(result[60:])
    assert quality.meaningful
    assert quality.reason == ""
    assert quality.spread > 0


def test_noise_is_not_ranked_meaningfully_and_the_reason_is_given(learner: Pretext) -> None:
    train(learner, Frames.of_noise(60, 32, 32))
    quality = learner.quality(scores(learner, Frames.of_noise(300, 32, 32))[60:])
    assert not quality.meaningful
    assert "too few" in quality.reason


@pytest.mark.parametrize(("fresh", "given", "share"), [(True, None, 1.0), (False, None, 0.1), (False, 0.3, None)])
def test_pretrained_weights_get_a_lower_learning_rate_unless_it_is_set(
    learner: Pretext, fresh: bool, given: float | None, share: float | None
) -> None:
    recipe = learner.recipe(500, ProjectSettings(learning_rate=given), CPU, fresh=fresh)
    assert recipe.learning_rate == pytest.approx(given if share is None else share * learner.rate)


def test_epochs_are_the_settings(learner: Pretext) -> None:
    assert learner.recipe(500, ProjectSettings(pretext_epochs=7), CPU, fresh=True).epochs == 7


def test_equal_losses_are_not_meaningful_and_the_reason_is_given(learner: Pretext) -> None:
    quality = learner.quality(np.ones((50, learner.outputs)))
    assert not quality.meaningful
    assert quality.reason.endswith(".")
    assert json.loads(quality.model_dump_json())["spread"] == 0
