"""Colorization (Zhang 2016) in the original's form: each pixel's colour as one of 313 bins, rare colours weighing more.

As ``colorization``, but a and b are cut into bins 10 wide. A pixel's target is spread over its five nearest bins by a
Gaussian of sigma 5; its cross-entropy is weighed by its nearest bin, w ~ 1 / ((1 - lambda) p + lambda / Q), lambda 1/2,
with mean 1 over pixels drawn from p. The pretext loss of an image is the mean over its pixels, in nats. Colourful
images and rare colours rank higher than with the regression, which paints what it is unsure of grey.

The bins are those whose centre lies within a bin's diagonal (14.1) of a colour of sRGB: 313, the original's number; its own
list is not used. (229 centres are colours of sRGB, 261 bins hold one.)

Not as in the original: p is the pool's own, the mean of the targets learned from so far (they are spread by the Gaussian
that the original smooths p by), begun uniform; it has that of ImageNet. Other deviations are ``colorization``'s.
"""

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

from pt4al_backend.learn.networks import Body
from pt4al_backend.learn.pretext.colorization import Colorization, Painter, lab

WIDTH = 10.0
NEAREST, SIGMA = 5, 5.0
#: How uniform p is made before it is inverted.
LAMBDA = 0.5


@functools.cache
def bins() -> Tensor:
    """Centres of the bins of a and b, float32 [313, 2]."""
    levels = torch.linspace(0, 255, 52)
    first, second = torch.cartesian_prod(levels, levels).T
    # the faces of the cube of colours meet every a and b that its inside does
    faces = [torch.stack([torch.full_like(first, edge), first, second]).roll(axis, 0) for axis in range(3) for edge in (0, 255)]
    colours = lab(torch.cat(faces, 1).view(1, 3, 1, -1))[0, 1:, 0].T
    steps = torch.arange(-110, 120, WIDTH)
    centres = torch.cartesian_prod(steps, steps)
    return centres[torch.cdist(centres, colours).amin(1) <= WIDTH * 2**0.5]


class ColorizationClasses(Colorization):
    """``scores`` columns: as the regression's, losses in nats."""

    name = "colorization_classes"
    rate = 0.1

    def __init__(self, body: Body) -> None:
        self.body = body
        count = len(bins())
        self.model = Painter(body, torch.full((count,), 1 / count))

    def _targets(self, colours: Tensor) -> Tensor:
        pixels = colours.movedim(1, 3)
        centres = bins().to(colours.device, non_blocking=True)
        distances = torch.cdist(pixels.flatten(0, 2), centres, compute_mode="donot_use_mm_for_euclid_dist")
        found, nearest = distances.topk(NEAREST, largest=False)
        shares = F.softmax(-(found**2) / (2 * SIGMA**2), 1)
        return torch.zeros_like(distances).scatter_(1, nearest, shares).view(*pixels.shape[:3], -1).movedim(3, 1)

    def _painted_by(self, mean: Tensor) -> Tensor:
        return mean.log()

    def _losses(self, painted: Tensor, targets: Tensor) -> Tensor:
        blind, counts = self.model.blind, self.model.counts
        prior = (blind * counts[:, None]).sum(0) / counts.sum()
        weights = 1 / ((1 - LAMBDA) * prior + LAMBDA / len(prior))
        weights = weights / (weights * prior).sum()
        entropies = -(targets * F.log_softmax(painted, 1)).sum(1).double()
        return (weights[targets.argmax(1)] * entropies).mean((1, 2))
