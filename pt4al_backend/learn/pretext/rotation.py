"""Rotation (Gidaris 2018): which of four orientations is this view? The pretext task of PT4AL for classification.

The pretext loss of an image is the mean cross-entropy over its four orientations (PT4AL, eq. 1; in nats, ln 4 =
1.386 is guessing), by the network in evaluation mode, without augmentation, in float64. As in the paper the learner is
scored on the images that it learned from, so the loss mixes hardness with memorisation; ``holdout`` deals with that.

Not as in the official code: losses stay numbers (it sorts them as strings); the four views of an image go through
the network together, in training (it makes four passes, so that BatchNorm sees one orientation mixture at a time) and
in scoring; the learner of the last epoch is kept (it selects on training accuracy); images are RGB throughout (it
reads BGR); the learning rate climbs and falls within the epochs that are set (it has milestones that 15 epochs never reach).
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pt4al_backend.learn.minibatches import Minibatch
from pt4al_backend.learn.networks import Body, Classifier
from pt4al_backend.learn.pretext.base import Pretext, too_alike
from pt4al_backend.measures import PretextQuality

VIEWS = 4

#: Accuracy below which the learner has learned nothing; chance is 0.25.
LEAST_ACCURACY = 0.35


def rotations(images: Tensor) -> Tensor:
    """The four orientations of the largest centred square: [m, 3, H, W] -> [4 m, 3, S, S], orientation by orientation."""
    height, width = images.shape[2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    squares = images[:, :, top : top + side, left : left + side]
    return torch.cat([torch.rot90(squares, quarter, (2, 3)) for quarter in range(VIEWS)])


def orientations(images: Tensor) -> Tensor:
    """The orientation of each of the views that ``rotations`` makes of images: int64 [4 m]."""
    return torch.arange(VIEWS, device=images.device).repeat_interleave(len(images))


class Rotation(Pretext):
    """Cross-entropy over four orientations. ``scores`` columns: loss in nats, share of the four views recognised."""

    name = "rotation"
    rate = 0.1
    views = VIEWS
    outputs = 2
    model: Classifier

    def __init__(self, body: Body) -> None:
        self.body = body
        self.model = Classifier(body, VIEWS)

    def loss(self, minibatch: Minibatch, _: np.random.Generator) -> Tensor:
        (images,) = minibatch
        return F.cross_entropy(self.model(rotations(images)), orientations(images))

    def scores(self, images: Tensor) -> Tensor:
        logits = self.model(rotations(images)).double()
        right = orientations(images)
        losses = F.cross_entropy(logits, right, reduction="none").view(VIEWS, -1).mean(0)
        recognised = (logits.argmax(1) == right).double().view(VIEWS, -1).mean(0)
        return torch.stack([losses, recognised], 1)

    def quality(self, scores: NDArray[Any]) -> PretextQuality:
        return quality(scores)


def quality(scores: NDArray[Any]) -> PretextQuality:
    """Whether a ranking by the losses of ``scores`` [n, 2] means anything; the second column is what was recognised."""
    losses, accuracy = scores[:, 0], float(scores[:, 1].mean())
    reason = too_alike(Rotation.name, losses)
    if accuracy < LEAST_ACCURACY:
        reason = (
            f"The rotation learner recognises {100 * accuracy:.0f} % of the orientations where guessing gives 25 %: the "
            "images have no upright sense (as in microscopy or satellite images), or they are too few or too alike."
        )
    return PretextQuality(accuracy=accuracy, chance=1 / VIEWS, spread=float(losses.std()), meaningful=not reason, reason=reason)
