"""Colorization: the colour space, what is painted from what, and images without colour."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from pt4al_backend.learn.networks import ResNetForm, build
from pt4al_backend.learn.pretext.colorization import Colorization, lab
from pt4al_backend.learn.pretext.colorization_classes import ColorizationClasses, bins

RED, GREEN, BLUE, GREY, NEARLY_GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (119, 119, 119), (119, 120, 119)


def flat(*colours: tuple[int, int, int]) -> Tensor:
    """Images of one colour each, uint8 [n, 3, 16, 32]."""
    return torch.tensor(colours, dtype=torch.uint8).view(-1, 3, 1, 1).repeat(1, 1, 16, 32)


@pytest.fixture(params=[Colorization, ColorizationClasses])
def learner(request: pytest.FixtureRequest) -> Colorization:
    learner: Colorization = request.param(build(ResNetForm.of((16, 16), 8)))
    learner.model.eval()
    return learner


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        (RED, (53.24, 80.09, 67.20)),
        (GREEN, (87.73, -86.18, 83.18)),
        (BLUE, (32.30, 79.19, -107.86)),
        ((255, 255, 255), (100, 0, 0)),
        (GREY, (50.03, 0, 0)),
        ((2, 2, 2), (0.55, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((139, 69, 19), (37.47, 26.44, 40.99)),
    ],
)
def test_lab_is_the_cies_under_d65(colour: tuple[int, int, int], expected: tuple[float, ...]) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        result = lab(flat(colour))
    assert result.dtype == torch.float32
    np.testing.assert_allclose(result[0, :, 3, 4], expected, atol=0.01)


def test_body_sees_lightness_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = Colorization(build(ResNetForm.of((16, 16), 8)))
    seen: list[Tensor] = []
    learner.body.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    learner.model.eval()
    learner.scores(flat(RED, (255, 255, 255)))
    assert seen[0].shape == (2, 3, 16, 32)
    np.testing.assert_allclose(seen[0][0], 2.55 * 53.24, atol=0.02)
    np.testing.assert_allclose(seen[0][1], 255, atol=0.02)


def test_loss_is_smooth_l1_of_a_and_b_in_units_of_ten() -> None:
    learner = Colorization(build(ResNetForm.of((16, 16), 8)))  # untrained it paints everything grey
    learner.model.eval()
    loss, blindly, is_grey = learner.scores(flat(RED))[0].tolist()
    assert loss == pytest.approx((8.009 - 0.5 + 6.720 - 0.5) / 2, abs=1e-3)
    assert (blindly, is_grey) == (loss, 0)


def test_bins_are_313_ten_apart_and_near_every_colour() -> None:
    centres = bins()
    assert centres.shape == (313, 2)
    assert len(centres.unique(dim=0)) == 313
    assert torch.equal(centres % 10, torch.zeros(313, 2))
    colours = lab(torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64))))[0, 1:].flatten(1).T
    assert torch.cdist(colours, centres).amin(1).max() <= 50**0.5


def test_cross_entropy_weighs_rare_colours_more() -> None:
    learner = ColorizationClasses(build(ResNetForm.of((16, 16), 8)))  # untrained it gives all bins the same probability
    learner.model.eval()
    red, blue = learner.scores(flat(RED, BLUE))[:, 0].tolist()
    assert red == pytest.approx(np.log(313))
    assert blue == pytest.approx(np.log(313))
    learner.loss((flat(*[RED] * 9, BLUE),), np.random.default_rng(0))
    red, blue = learner.scores(flat(RED, BLUE))[:, 0].tolist()
    assert blue > 3 * red


def test_images_without_colour_have_loss_zero_and_are_flagged(learner: Colorization) -> None:
    one_pixel = flat(GREY)
    one_pixel[0, :, 3, 3] = torch.tensor([200, 30, 30])
    scores = learner.scores(torch.cat([flat(RED, GREY, (139, 69, 19), NEARLY_GREY, (0, 0, 0)), one_pixel])).detach().numpy()
    assert scores[:, 2].tolist() == [0, 1, 0, 1, 1, 0]
    assert (scores[scores[:, 2] == 1, :2] == 0).all()
    assert (scores[scores[:, 2] == 0, 0] > 0).all()


def test_images_without_colour_are_not_trained_on(learner: Colorization) -> None:
    learner.model.train()
    other = copy.deepcopy(learner)
    coloured = other.loss((flat(RED, BLUE),), np.random.default_rng(0))
    with_grey = learner.loss((flat(RED, GREY, GREY, BLUE),), np.random.default_rng(0))
    torch.testing.assert_close(with_grey, coloured)
    grey_alone = learner.loss((flat(GREY, NEARLY_GREY),), np.random.default_rng(0))
    grey_alone.backward()
    assert grey_alone == 0


def test_blind_colours_are_learned_by_lightness(learner: Colorization) -> None:
    before = learner.scores(flat(RED, BLUE))[:, 1]
    for _ in range(20):
        learner.loss((flat(*[RED, BLUE] * 8),), np.random.default_rng(0))  # one is dark, the other darker
    assert (learner.scores(flat(RED, BLUE))[:, 1] < 0.1 * before).all()


@pytest.mark.parametrize(
    ("loss", "blindly", "greys", "means"),
    [(0.8, 1.0, 0.0, ""), (0.8, 1.0, 0.4, ""), (0.8, 1.0, 0.6, "set pretext to rotation"), (1.1, 1.0, 0.4, "lightness alone")],
)
def test_pool_of_greys_or_unlearnable_colours_is_not_meaningful(
    learner: Colorization, loss: float, blindly: float, greys: float, means: str
) -> None:
    scores = np.stack([loss * np.linspace(0.5, 1.5, 50), np.full(50, blindly), np.zeros(50)], 1)
    scores[: round(50 * greys)] = (0, 0, 1)
    quality = learner.quality(scores[::-1])
    assert quality.meaningful is (means == "")
    assert means in quality.reason
