"""SimSiam (Chen & He 2021): are two views of one image seen as alike? Self-supervision by pairs, without negatives.

A view is a resized crop (0.2 to 1 of the area), its colours jittered, a fifth of them grey, half of them mirrored, and half
of them blurred where the frame is larger than 64 pixels. The loss of a pair is the negative cosine of one view's
prediction and the other's projection, both ways, without a gradient through the projection: from -1 (alike) to 1. The
pretext loss of an image is its mean over four pairs of views, the same for all images, by the network in evaluation mode.

PT4AL finds this loss unrelated to the main task's (rank correlation -0.001 on CIFAR-10) and reports it for comparison. As
in the original for CIFAR-10: a projector of two layers with BatchNorm (without affine after the last), a predictor with
a bottleneck of a quarter. Not as in it: 512 dimensions instead of 2,048; both views go through the network together; the
predictor's rate falls with the others'; minibatches and epochs are those of the other pretext tasks, a small part of its.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pt4al_backend.images.frames import SMALL
from pt4al_backend.learn.minibatches import Minibatch
from pt4al_backend.learn.networks import Body
from pt4al_backend.learn.pretext import views
from pt4al_backend.learn.pretext.base import Pretext
from pt4al_backend.measures import PretextQuality

DIMENSIONS = 512
#: Pairs of views in scoring.
PAIRS = 4
#: Coordinates of the projection that are kept of each image, to watch for collapse.
KEPT = 8

#: Standard deviation of a coordinate, as a part of what it is all over the sphere, below which all images are seen as one.
LEAST_STD = 0.1
#: Mean cosine below which views of one image are not recognised as such; 0 is guessing.
LEAST_COSINE = 0.1
#: Standard deviation of the losses, which are cosines, below which their order is noise.
LEAST_SPREAD = 0.005


def _pair(images: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """Two views of each image, all first views first: [m, 3, H, W] -> float32 [2 m, 3, H, W]."""

    def view() -> Tensor:
        seen = views.jittered(views.cropped(images, count, rng, least=0.2), count, rng)
        return views.blurred(seen, count, rng) if min(images.shape[2:]) > SMALL else seen

    return torch.cat([view(), view()])


def _losses(projected: Tensor, predicted: Tensor) -> Tensor:
    """The loss of each image by two views, [2 m, D] each -> float64 [m]."""
    other = projected.detach().double().roll(len(projected) // 2, 0)
    return -F.cosine_similarity(predicted.double(), other, dim=1).view(2, -1).mean(0)


class Siamese(nn.Module):
    """Pixels [n, 3, H, W] to projections and the predictions made from them, float32 [n, D] each."""

    def __init__(self, body: Body) -> None:
        super().__init__()
        self.body = body
        self.projector = nn.Sequential(
            nn.Linear(body.features, DIMENSIONS, bias=False),
            nn.BatchNorm1d(DIMENSIONS),
            nn.ReLU(inplace=True),
            nn.Linear(DIMENSIONS, DIMENSIONS, bias=False),
            nn.BatchNorm1d(DIMENSIONS, affine=False),
        )
        self.predictor = nn.Sequential(
            nn.Linear(DIMENSIONS, DIMENSIONS // 4, bias=False),
            nn.BatchNorm1d(DIMENSIONS // 4),
            nn.ReLU(inplace=True),
            nn.Linear(DIMENSIONS // 4, DIMENSIONS),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(images).float().mean((2, 3))
        with torch.autocast(images.device.type, enabled=False):
            projected: Tensor = self.projector(features)
            predicted: Tensor = self.predictor(projected)
        return projected, predicted


class SimSiam(Pretext):
    """``scores`` columns: loss, then coordinates of one view's projection on the sphere, scaled to a deviation of about 1."""

    name = "simsiam"
    rate = 0.05
    views = 2 * PAIRS
    outputs = 1 + KEPT

    def __init__(self, body: Body) -> None:
        self.body = body
        self.model = Siamese(body)

    def loss(self, minibatch: Minibatch, rng: np.random.Generator) -> Tensor:
        (images,) = minibatch
        return _losses(*self.model(_pair(images, len(images), rng))).mean()

    def scores(self, images: Tensor) -> Tensor:
        rng = np.random.default_rng(0)
        seen = [self.model(_pair(images, 1, rng)) for _ in range(PAIRS)]
        losses = torch.stack([_losses(*pair) for pair in seen]).mean(0)
        projected = F.normalize(seen[0][0][: len(images)].double(), dim=1)
        return torch.cat([losses[:, None], projected[:, :KEPT] * DIMENSIONS**0.5], 1)

    def quality(self, scores: NDArray[Any]) -> PretextQuality:
        cosine, spread, std = -float(scores[:, 0].mean()), float(scores[:, 0].std()), float(scores[:, 1:].std(0).mean())
        reason = ""
        if std < LEAST_STD:
            reason = f"The SimSiam learner has collapsed: it sees all images as one (deviation {std:.2f} where 1 is sound)."
        elif cosine < LEAST_COSINE:
            reason = (
                f"The SimSiam learner hardly sees two views of one image as alike (cosine {cosine:.2f} where guessing gives 0): "
                "the images are too few or too alike."
            )
        elif spread < LEAST_SPREAD:
            reason = f"The SimSiam losses of the images hardly differ (by {spread:.1e}): the images are too alike to be ranked."
        return PretextQuality(spread=spread, meaningful=not reason, reason=reason)
