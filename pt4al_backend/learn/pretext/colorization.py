"""Colorization (Zhang 2016), light form: which colours does this grey image have? The paper's pretext task for segmentation.

The body sees the lightness L of CIE Lab as three equal channels; a decoder paints a and b at a quarter of the resolution
(as in the original, 56 of 224). The pretext loss of an image is the mean over its pixels and both channels of smooth L1
between painted and true a, b in units of 10 (a bin of the original; quadratic below one unit, linear above), by the
network in evaluation mode. An image without colour has nothing to paint: its loss is 0, so it ranks last, and the
training leaves it out, as the original does.

The paper names neither network nor loss of its colorization. Not as in Zhang's: a regression instead of 313 classes
(``colorization_classes`` is that form); a decoder of four light stages on any body instead of a network that keeps 1/8 of
the resolution; SGD instead of Adam. Training crops at random (half of the area or more): without, a learner of 500
images of 32 pixels memorises their colours and paints unseen images worse than by their lightness alone.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pt4al_backend.learn.minibatches import Minibatch
from pt4al_backend.learn.networks import Body
from pt4al_backend.learn.pretext import views
from pt4al_backend.learn.pretext.base import Pretext, too_alike
from pt4al_backend.measures import PretextQuality

#: Linear sRGB to CIE XYZ under D65 (IEC 61966-2-1), each row of sum 1: relative to white.
XYZ = ((0.4339531, 0.3762097, 0.1898372), (0.2126729, 0.7151522, 0.0721750), (0.0177578, 0.1094765, 0.8727657))
#: Where Lab's cube root becomes a line.
BEND = (6 / 29) ** 3

#: Width of the original's bins, the unit of a and b in the loss.
UNIT = 10.0
#: |a| and |b| below which a pixel is grey: the eye sees no difference of 2.3, and one level of one channel makes less.
GREY = 2.0
#: Channels of the decoder's stages: one of 1x1, then three of 3x3, each on the feature map of twice the size.
STAGES = (128, 64, 64, 64)

#: Ranges of lightness in what is painted without looking, and how many images' worth of the start each counts.
STEPS, START = 5, 0.1
#: Part of the images that may be grey.
MOST_GREY = 0.5


def lab(pixels: Tensor) -> Tensor:
    """CIE Lab of sRGB in 0..255: [m, 3, H, W] -> float32 [m, 3, H, W]; L in 0..100, a and b in about -108..99."""
    coded = pixels.float() / 255
    red, green, blue = torch.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4).unbind(1)
    # not a matrix product, which autocast would round to bfloat16
    xyz = torch.stack([row[0] * red + row[1] * green + row[2] * blue for row in XYZ], 1)
    x, y, z = torch.where(xyz > BEND, xyz.clamp(min=BEND) ** (1 / 3), xyz / (3 * BEND ** (2 / 3)) + 4 / 29).unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


class Painter(nn.Module):
    """A body and a decoder: pixels [n, 3, H, W] to float32 [n, outputs, H/4, W/4].

    ``blind`` is the mean target of the pixels learned from, by their lightness, [steps, outputs]: what one would paint
    without looking. It begins with ``start``, [outputs]; ``counts`` are the images that each step's pixels make up.
    """

    blind: Tensor
    counts: Tensor

    def __init__(self, body: Body, start: Tensor) -> None:
        super().__init__()
        self.body = body
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, side, padding=side // 2, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
            )
            for before, after, side in zip((body.features, *STAGES), STAGES, (1, 3, 3, 3), strict=False)
        )
        self.head = nn.Conv2d(STAGES[-1], len(start), 1)
        for value in self.head.parameters():
            nn.init.zeros_(value)
        self.register_buffer("blind", start.repeat(STEPS, 1))
        self.register_buffer("counts", torch.full((STEPS,), START))

    def forward(self, images: Tensor) -> Tensor:
        first, *others, last = self.stages
        size = [length // 4 for length in images.shape[2:]]
        x: Tensor = first(self.body(images))
        for stage in others:
            x = stage(F.interpolate(x, [min(most, 2 * length) for most, length in zip(size, x.shape[2:], strict=True)]))
        x = last(F.interpolate(x, size))
        with torch.autocast(x.device.type, enabled=False):
            painted: Tensor = self.head(x.float())
        return painted

    @torch.no_grad()
    def learn_blind(self, steps: Tensor, targets: Tensor, counted: Tensor) -> None:
        """Takes more pixels into the means: their steps of lightness, int64 [n, h, w], and targets, [n, outputs, h, w].

        Images count where ``counted``, bool [n], says so: to pick them out would have to wait for a GPU.
        """
        shares = counted[:, None, None] / (steps.shape[1] * steps.shape[2])
        members = F.one_hot(steps.flatten(), STEPS) * shares.expand(steps.shape).reshape(-1, 1)
        with torch.autocast(steps.device.type, enabled=False):
            sums = members.T @ targets.movedim(1, 3).flatten(0, 2)
        counts = self.counts + members.sum(0)
        self.blind.copy_((self.blind * self.counts[:, None] + sums) / counts[:, None])
        self.counts.copy_(counts)


class Colorization(Pretext):
    """``scores`` columns: loss, loss of painting every pixel by its lightness alone, 1 for an image without colour."""

    name = "colorization"
    rate = 0.05
    outputs = 3
    model: Painter

    def __init__(self, body: Body) -> None:
        self.body = body
        self.model = Painter(body, torch.zeros(2))

    def loss(self, minibatch: Minibatch, rng: np.random.Generator) -> Tensor:
        (images,) = minibatch
        painted, targets, steps, grey = self._paint(views.cropped(images, len(images), rng, least=0.5))
        self.model.learn_blind(steps, targets, ~grey)
        return self._losses(painted, targets).masked_fill(grey, 0).sum() / (~grey).sum().clamp(min=1)

    def scores(self, images: Tensor) -> Tensor:
        painted, targets, steps, grey = self._paint(images)
        blindly = self._painted_by(self.model.blind)[steps].movedim(3, 1)
        losses = torch.stack([self._losses(painted, targets), self._losses(blindly, targets), grey.double()], 1)
        losses[:, :2].masked_fill_(grey[:, None], 0)
        return losses

    def quality(self, scores: NDArray[Any]) -> PretextQuality:
        losses, blindly = scores[scores[:, 2] == 0, :2].T
        greys = float(scores[:, 2].mean())
        reason = ""
        if greys > MOST_GREY:
            reason = f"{100 * greys:.0f} % of the images have no colour, which colorization learns from; set pretext to rotation."
        elif losses.mean() >= blindly.mean():
            reason = (
                "The colorization learner paints images no better than by their lightness alone: "
                "their colours do not follow from what they show, or they are too few."
            )
        reason = reason or too_alike(self.name, losses)
        return PretextQuality(spread=float(scores[:, 0].std()), meaningful=not reason, reason=reason)

    def _paint(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What is painted, what should be, each pixel's step of lightness, and which images are grey."""
        full = lab(pixels)
        painted: Tensor = self.model((255 / 100 * full[:, :1]).expand(-1, 3, -1, -1))
        small = F.adaptive_avg_pool2d(full, (painted.shape[2], painted.shape[3]))
        steps = (small[:, 0] * (STEPS / 100)).long().clamp(0, STEPS - 1)
        return painted, self._targets(small[:, 1:]), steps, (full[:, 1:].abs() < GREY).flatten(1).all(1)

    # what the other form has instead

    def _targets(self, colours: Tensor) -> Tensor:
        """What should be learned of a and b: float32 [n, 2, h, w] -> [n, outputs, h, w]."""
        return colours / UNIT

    def _painted_by(self, mean: Tensor) -> Tensor:
        """What a network that knows but a mean of targets should answer, in the last dimension."""
        return mean

    def _losses(self, painted: Tensor, targets: Tensor) -> Tensor:
        """The loss of each image, float64 [n]."""
        return F.smooth_l1_loss(painted.double(), targets.double(), reduction="none").mean((1, 2, 3))
