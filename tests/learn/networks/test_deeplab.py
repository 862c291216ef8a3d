"""The decoders: the same answers as segmentation-models-pytorch's from the same weights, under the same names."""

import pytest
import torch
from segmentation_models_pytorch.decoders.deeplabv3 import decoder as library
from torch import nn

from pt4al_backend.learn.networks.deeplab import CHANNELS, DILATIONS, DeepLabV3, DeepLabV3Plus

#: Channels of the maps of resnet18 and mobilenet_v2, the image's first; our decoders see the last four.
ENCODERS = [(3, 64, 64, 128, 256, 512), (3, 16, 24, 32, 96, 1280)]
V3, V3_PLUS = "deeplabv3", "deeplabv3plus"
both = pytest.mark.parametrize("architecture", [V3, V3_PLUS])


def pair(architecture: str, channels: tuple[int, ...]) -> tuple[nn.Module, nn.Module]:
    """Our decoder and the library's, with the library's weights; running means and variances are not those of fresh ones."""
    torch.manual_seed(0)
    ours: nn.Module
    if architecture == V3:
        ours = DeepLabV3(channels[-4:], 8)
        theirs = library.DeepLabV3Decoder(channels[-1], CHANNELS, DILATIONS[8], aspp_separable=False, aspp_dropout=0.5)
    else:
        ours = DeepLabV3Plus(channels[-4:], 16)
        theirs = library.DeepLabV3PlusDecoder(channels, 5, CHANNELS, DILATIONS[16], 16, aspp_separable=True, aspp_dropout=0.5)
    for name, buffer in theirs.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 2)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def maps(architecture: str, channels: tuple[int, ...], count: int = 2) -> list[torch.Tensor]:
    strides = (1, 2, 4, 8, 8, 8) if architecture == V3 else (1, 2, 4, 8, 16, 16)
    return [torch.rand(count, each, 64 // stride, 96 // stride) for each, stride in zip(channels, strides, strict=True)]


@both
@pytest.mark.parametrize("channels", ENCODERS)
def test_decoder_with_the_librarys_weights_gives_the_librarys_output(architecture: str, channels: tuple[int, ...]) -> None:
    ours, theirs = (decoder.eval() for decoder in pair(architecture, channels))
    seen = maps(architecture, channels)
    with torch.no_grad():
        torch.testing.assert_close(ours(seen[-4:]), theirs(seen), rtol=0, atol=1e-6)


@both
def test_decoder_in_training_gives_the_librarys_output_and_gradients(architecture: str) -> None:
    gradients, outputs = [], []
    seen = maps(architecture, ENCODERS[0])
    for decoder, first in zip(pair(architecture, ENCODERS[0]), (-4, 0), strict=True):
        torch.manual_seed(1)  # of the dropout
        outputs.append(decoder.train()(seen[first:]))
        outputs[-1].square().mean().backward()
        gradients.append({name: parameter.grad for name, parameter in decoder.named_parameters()})
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-5)
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


@both
def test_decoder_learns_from_a_single_image(architecture: str) -> None:
    ours, _ = pair(architecture, ENCODERS[0])
    assert ours.train()(maps(architecture, ENCODERS[0], count=1)[-4:]).isfinite().all()
