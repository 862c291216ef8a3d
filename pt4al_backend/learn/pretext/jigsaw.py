"""Jigsaw (Noroozi & Favaro 2016): in which of 30 arrangements do the nine tiles of this image lie?

The frame is cut into 3x3 cells; in each lies a tile of 64/75 of its sides (the original's 64 of 75 pixels), at a random
place in training and in the centre in scoring, so that edges do not run on from tile to tile. Each channel of a tile is
brought to the same mean and standard deviation. The arrangements are drawn up once and for all: each next is the
permutation farthest from those before it in Hamming distance.

The pretext loss of an image is the mean cross-entropy over all arrangements, by the network in evaluation mode (nats,
ln 30 = 3.4 is guessing). The body sees each tile once; arrangements are of features, and of all of them each image is
in training too.

PT4AL does not say how many permutations it takes. Not as in the original: 30 arrangements instead of 1,000, for pools of
hundreds of images instead of a million; the smallest distance to those before it, then the sum, chooses the next (the
original looks at the sum alone, and begins at random); small tiles are enlarged to whole multiples of 16 pixels; a
narrow head; no channels dropped against chromatic aberration.
"""

import functools
import itertools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pt4al_backend.learn.minibatches import Minibatch
from pt4al_backend.learn.networks import Body
from pt4al_backend.learn.pretext.base import Pretext, too_alike
from pt4al_backend.measures import PretextQuality

SIDE = 3
TILES = SIDE * SIDE
ARRANGEMENTS = 30
#: Channels of the head's one hidden layer.
HIDDEN = 256

#: Pixels that a side of a tile becomes a multiple of, which a segmentation encoder may need.
MULTIPLE = 16
#: Mean and standard deviation of each channel of a tile, and the least standard deviation that is brought to it.
MEAN, STD, LEAST_STD = 128.0, 64.0, 2.0

#: Accuracy below which the learner has learned nothing: twice that of guessing.
LEAST_ACCURACY = 2 / ARRANGEMENTS


@functools.cache
def arrangements(count: int = ARRANGEMENTS) -> NDArray[np.int64]:
    """Permutations of nine tiles, far from each other: int64 [count, 9], the tile at each place; the first is the identity."""
    flat = itertools.chain.from_iterable(itertools.permutations(range(TILES)))
    every = np.fromiter(flat, np.int8).reshape(-1, TILES)
    least = np.full(len(every), TILES)
    total = np.zeros(len(every), dtype=np.int64)
    chosen = [0]
    while len(chosen) < count:
        distances = (every != every[chosen[-1]]).sum(1)
        least, total = np.minimum(least, distances), total + distances
        chosen.append(int(np.argmax(least * TILES * count + total)))
    return every[chosen].astype(np.int64)


def tiles(images: Tensor, rng: np.random.Generator | None = None) -> Tensor:
    """The nine tiles of each image, row by row: uint8 [m, 3, H, W] -> float32 [m, 9, 3, h, w], not normalised.

    Each lies in its cell where ``rng`` puts it, else in the centre.
    """
    m = len(images)
    spans = []
    for length in images.shape[2:]:
        cell = length // SIDE
        tile = cell * 64 // 75
        offsets = np.full((m, TILES), (cell - tile) // 2) if rng is None else rng.integers(0, cell - tile + 1, (m, TILES))
        spans.append((tile, cell, torch.from_numpy(offsets).to(images.device, non_blocking=True)))
    (height, cell_height, down), (width, cell_width, right) = spans
    place = torch.arange(TILES, device=images.device)
    rows = (place // SIDE * cell_height + down)[..., None] + torch.arange(height, device=images.device)
    columns = (place % SIDE * cell_width + right)[..., None] + torch.arange(width, device=images.device)
    which = torch.arange(m, device=images.device)[:, None, None, None]
    cut = images.permute(0, 2, 3, 1)[which, rows[..., :, None], columns[..., None, :]]
    return cut.permute(0, 1, 4, 2, 3).float()


def _normalised(cut: Tensor) -> Tensor:
    """Tiles brought to equal means and standard deviations, and to sides of whole multiples of 16 pixels."""
    std, mean = torch.std_mean(cut, (3, 4), correction=0, keepdim=True)
    level = (cut - mean) / std.clamp(min=LEAST_STD) * STD + MEAN
    size = [-(-length // MULTIPLE) * MULTIPLE for length in cut.shape[3:]]
    return F.interpolate(level.flatten(0, 1), size, mode="bilinear").view(*cut.shape[:3], *size)


class Puzzle(nn.Module):
    """Tiles [m, 9, 3, h, w] in 0..255 to float32 logits [m, P, P], one row for each arrangement that they are brought into.

    The head is two layers on the tiles' pooled features, one after another. The first is linear, so it is applied once
    to each tile at each place; an arrangement sums nine of the 81 results.
    """

    chosen: Tensor

    def __init__(self, body: Body) -> None:
        super().__init__()
        self.body = body
        self.places = nn.Linear(body.features, TILES * HIDDEN, bias=False)
        self.norm = nn.BatchNorm1d(HIDDEN)
        self.head = nn.Linear(HIDDEN, ARRANGEMENTS)
        chosen = F.one_hot(torch.from_numpy(arrangements()), TILES).transpose(1, 2)  # [P, tile, place]
        self.register_buffer("chosen", chosen.flatten(1).float(), persistent=False)

    def forward(self, cut: Tensor) -> Tensor:
        features = self.body(cut.flatten(0, 1)).float().mean((2, 3))
        with torch.autocast(cut.device.type, enabled=False):
            parts = self.places(features).view(len(cut), TILES * TILES, HIDDEN)
            arranged = (self.chosen @ parts).flatten(0, 1)
            logits: Tensor = self.head(F.relu(self.norm(arranged)))
        return logits.view(len(cut), ARRANGEMENTS, ARRANGEMENTS)


class Jigsaw(Pretext):
    """Cross-entropy over arrangements. ``scores`` columns: loss in nats, share of the arrangements recognised."""

    name = "jigsaw"
    rate = 0.1
    views = 2  # nine tiles of a ninth of the pixels each, and more where they are enlarged
    outputs = 2

    def __init__(self, body: Body) -> None:
        self.body = body
        self.model = Puzzle(body)

    def loss(self, minibatch: Minibatch, rng: np.random.Generator) -> Tensor:
        logits = self.model(_normalised(tiles(minibatch[0], rng)))
        return F.cross_entropy(logits.flatten(0, 1), _targets(logits))

    def scores(self, images: Tensor) -> Tensor:
        logits = self.model(_normalised(tiles(images))).double()
        targets = _targets(logits)
        losses = F.cross_entropy(logits.flatten(0, 1), targets, reduction="none").view(len(images), -1).mean(1)
        recognised = (logits.argmax(2).flatten() == targets).double().view(len(images), -1).mean(1)
        return torch.stack([losses, recognised], 1)

    def quality(self, scores: NDArray[Any]) -> PretextQuality:
        losses, accuracy = scores[:, 0], float(scores[:, 1].mean())
        reason = too_alike(self.name, losses)
        if accuracy < LEAST_ACCURACY:
            reason = (
                f"The jigsaw learner recognises {100 * accuracy:.1f} % of the arrangements where guessing gives "
                f"{100 / ARRANGEMENTS:.1f} %: the images have no layout in common (textures have none), or they are too few."
            )
        return PretextQuality(
            accuracy=accuracy, chance=1 / ARRANGEMENTS, spread=float(losses.std()), meaningful=not reason, reason=reason
        )


def _targets(logits: Tensor) -> Tensor:
    return torch.arange(ARRANGEMENTS, device=logits.device).repeat(len(logits))
