"""Views: what changes, what stays, and how many are drawn."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from pt4al_backend.learn.pretext import views

Change = Callable[[Tensor, int, np.random.Generator], Tensor]


def cropped(images: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    return views.cropped(images, count, rng, least=0.2)


@pytest.fixture(params=[cropped, views.jittered, views.blurred])
def change(request: pytest.FixtureRequest) -> Change:
    change: Change = request.param
    return change


def scene(count: int, height: int = 48, width: int = 64) -> Tensor:
    """One image, ``count`` times."""
    image = np.random.default_rng(0).integers(0, 256, (1, 3, height, width), dtype=np.uint8)
    return torch.from_numpy(image).repeat(count, 1, 1, 1)


def test_view_is_drawn_per_image_or_once_for_all(change: Change) -> None:
    each = change(scene(24), 24, np.random.default_rng(0))
    assert each.shape == (24, 3, 48, 64)
    assert each.dtype == torch.float32
    assert each.min() >= 0
    assert each.max() <= 255
    assert len(each.unique(dim=0)) > 3
    assert len(change(scene(24), 1, np.random.default_rng(0)).unique(dim=0)) == 1


def test_view_depends_on_the_generator_alone(change: Change) -> None:
    assert torch.equal(change(scene(6), 6, np.random.default_rng(3)), change(scene(6), 6, np.random.default_rng(3)))


def test_crops_show_a_fifth_or_more_and_half_are_mirrored() -> None:
    down, right = torch.meshgrid(torch.arange(96.0), torch.arange(128.0), indexing="ij")
    crops = views.cropped(torch.stack([down, right, right]).repeat(200, 1, 1, 1), 200, np.random.default_rng(0), least=0.2)
    high = (crops[:, 0, -1, 0] - crops[:, 0, 0, 0]) / 95
    wide = (crops[:, 1, 0, -1] - crops[:, 1, 0, 0]) / 127
    assert (high > 0).all()
    assert 70 < (wide < 0).sum() < 130
    shares = high * wide.abs()
    assert 0.17 < shares.min() < 0.25
    assert 0.9 < shares.max() <= 1


def test_jitter_keeps_greys_and_turns_a_fifth_grey() -> None:
    greys = torch.full((50, 3, 4, 4), 120, dtype=torch.uint8)
    seen = views.jittered(greys, 50, np.random.default_rng(0))
    torch.testing.assert_close(seen, seen[:, :1].expand_as(seen))
    reds = torch.tensor([200, 60, 50], dtype=torch.uint8).view(1, 3, 1, 1).repeat(500, 1, 4, 4)
    seen = views.jittered(reds, 500, np.random.default_rng(0))
    grey = (seen.amax(1) - seen.amin(1)).amax((1, 2)) < 0.1
    assert 70 < grey.sum() < 130
    unchanged = (seen - reds).abs().amax((1, 2, 3)) < 0.1
    assert 50 < unchanged.sum() < 110  # 20 % without jitter, of which 80 % keep their colour


def test_half_of_the_images_are_blurred_and_none_gets_darker() -> None:
    sharp = scene(100, 112, 112)
    soft = views.blurred(sharp, 100, np.random.default_rng(0))
    contrast = soft.std((1, 2, 3)) / sharp.float().std((1, 2, 3))
    assert 30 < (contrast < 0.99).sum() < 70
    assert contrast.min() < 0.6
    torch.testing.assert_close(soft.mean((1, 2, 3)), sharp.float().mean((1, 2, 3)), rtol=0.01, atol=0)
