"""Encoders and segmenters: any size of image, any size of minibatch, one class for every pixel."""

import pytest
import torch

from pt4al_backend.learn.networks import EncoderForm
from pt4al_backend.learn.networks.segmenter import Encoder, Segmenter

SIZES = [(32, 48), (33, 47), (48, 32)]


def segmenter(architecture: str = "deeplabv3plus", encoder: str = "resnet18") -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(Encoder(EncoderForm(encoder, architecture)), 5)  # type: ignore[arg-type]


def pictures(count: int, height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("architecture", "stride"), [("deeplabv3plus", 16), ("deeplabv3", 8)])
def test_feature_map_has_the_architectures_stride(architecture: str, stride: int) -> None:
    body = segmenter(architecture).body
    assert body(pictures(2, 48, 64)).shape == (2, body.features, 48 // stride, 64 // stride)


@pytest.mark.parametrize("architecture", ["deeplabv3plus", "deeplabv3"])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_pixel_gets_float32_logits_at_any_size(architecture: str, height: int, width: int) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = segmenter(architecture).eval()(pictures(2, height, width))
    assert logits.shape == (2, 5, height, width)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()


def test_padding_is_cut_again_and_moves_nothing() -> None:
    model = segmenter().eval()
    even = pictures(1, 32, 48)
    even[:, :, :, 47] = even[:, :, :, 46]
    with torch.no_grad():
        torch.testing.assert_close(model(even[:, :, :, :47]), model(even)[:, :, :, :47])


@pytest.mark.parametrize("architecture", ["deeplabv3plus", "deeplabv3"])
def test_segmenter_learns_from_a_single_image(architecture: str) -> None:
    model = segmenter(architecture).train()
    model(pictures(1, 32, 48)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.body.parameters())
