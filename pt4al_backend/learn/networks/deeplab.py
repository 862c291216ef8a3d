"""Decoders of DeepLabV3 (Chen et al. 2017, arXiv:1706.05587) and DeepLabV3+ (Chen et al. 2018, arXiv:1802.02611).

Both begin with atrous spatial pyramid pooling (ASPP): a 1x1 convolution, three dilated 3x3 convolutions and the image's mean,
side by side, over the last feature map. V3 has one more convolution after it, on a map of 1/8 of the image's sides; V3+ adds an
earlier map of 1/4 to one of 1/16, and its 3x3 convolutions are separable. The dilations are those that both papers give for
their stride, and smaller ones where an encoder cannot be dilated and shrinks 32 times. Not as there, but as in
segmentation-models-pytorch: dropout after the pyramid, and no batch normalisation within a separable convolution. The weights
have that library's names, so that models saved with its decoders load.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Channels of the decoder, and of the earlier map once it is reduced, as published.
CHANNELS, EARLY_CHANNELS = 256, 48
#: Part of the pyramid's channels that training leaves out at random.
DROPOUT = 0.5
#: Dilations of the parallel convolutions, by the stride of the map that they see.
DILATIONS = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}


class _NormOfPooled(nn.BatchNorm2d):
    """Normalises what is pooled over an image. A minibatch of one has no spread there: it is normalised as in evaluation."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) == 1:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


def _conv(before: int, after: int, side: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, side, padding=dilation * (side // 2), dilation=dilation, bias=False)


def _separable(before: int, after: int, dilation: int = 1) -> nn.Sequential:
    depthwise = nn.Conv2d(before, before, 3, padding=dilation, dilation=dilation, groups=before, bias=False)
    return nn.Sequential(depthwise, _conv(before, after))


def _normed(*layers: nn.Module, channels: int = CHANNELS) -> nn.Sequential:
    return nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU())


class _Pyramid(nn.Module):
    """ASPP: a feature map [m, channels, h, w] to [m, CHANNELS, h, w]."""

    def __init__(self, channels: int, dilations: Sequence[int], *, separable: bool) -> None:
        super().__init__()
        dilated = [
            _separable(channels, CHANNELS, each) if separable else _conv(channels, CHANNELS, 3, each) for each in dilations
        ]
        pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), _conv(channels, CHANNELS), _NormOfPooled(CHANNELS), nn.ReLU())
        self.convs = nn.ModuleList([_normed(_conv(channels, CHANNELS)), *map(_normed, dilated), pooled])
        self.project = nn.Sequential(*_normed(_conv(5 * CHANNELS, CHANNELS)), nn.Dropout(DROPOUT))

    def forward(self, x: Tensor) -> Tensor:
        *parts, pooled = (conv(x) for conv in self.convs)
        out: Tensor = self.project(torch.cat([*parts, pooled.expand_as(parts[0])], 1))
        return out


class DeepLabV3(nn.Module):
    """The last of ``maps``, [m, channels[-1], h, w], to [m, CHANNELS, h, w].

    ``tile`` is what an image's sides have to be multiples of.
    """

    def __init__(self, channels: Sequence[int], stride: int) -> None:
        super().__init__()
        self.tile = stride
        self.aspp = _Pyramid(channels[-1], DILATIONS[stride], separable=False)
        self.conv, self.bn, self.relu = _normed(_conv(CHANNELS, CHANNELS, 3))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        decoded: Tensor = self.relu(self.bn(self.conv(self.aspp(maps[-1]))))
        return decoded


class DeepLabV3Plus(nn.Module):
    """The last of ``maps``, [m, channels[-1], h, w], and the first, [m, channels[0], H, W], to [m, CHANNELS, H, W].

    ``tile`` is what an image's sides have to be multiples of.
    """

    def __init__(self, channels: Sequence[int], stride: int) -> None:
        super().__init__()
        self.tile = stride
        pyramid = _Pyramid(channels[-1], DILATIONS[stride], separable=True)
        self.aspp = nn.Sequential(pyramid, *_normed(_separable(CHANNELS, CHANNELS)))
        self.block1 = _normed(_conv(channels[0], EARLY_CHANNELS), channels=EARLY_CHANNELS)
        self.block2 = _normed(_separable(CHANNELS + EARLY_CHANNELS, CHANNELS))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        high = F.interpolate(self.aspp(maps[-1]), maps[0].shape[2:], mode="bilinear", align_corners=True)
        decoded: Tensor = self.block2(torch.cat([high, self.block1(maps[0])], 1))
        return decoded


def initialise(decoder: nn.Module) -> None:
    """Draws the weights of the convolutions (He et al. 2015, uniform)."""
    for module in decoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
