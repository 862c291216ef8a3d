"""Rotation on a frozen encoder: a linear head tells the four orientations apart, and scores no image that it has seen.

The pretext loss of an image is that of ``pretext.rotation``: the mean cross-entropy over its four orientations. The pool is cut
in two, a head is learned on each half, and scores the other. So nothing is memorised, and the pretext task costs the three more
passes over the pool that the orientations take.

Deviates from the paper, which trains the whole network and scores the images that it was trained on.
"""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import from_numpy, nn

from pt4al_backend.learn.frozen.heads import LinearHead, Standard
from pt4al_backend.learn.pretext.rotation import VIEWS

#: Most images of each half that a head is learned on.
MOST_LEARNED = 4_000

#: Features float16 [b, 4, d] of rows, block by block.
Turned = Callable[[NDArray[np.int64]], Iterable[NDArray[np.float16]]]


def cross_fitted(rows: NDArray[np.int64], turned: Turned, rng: np.random.Generator) -> tuple[NDArray[np.float64], LinearHead]:
    """Scores float64 [n, 2] of images, as ``Rotation.scores`` gives them, and a head for images that come later.

    ``rows`` int64 [n], at least two, are those of the images. Where one half is learned on a draw, so is the other.
    """
    half = np.zeros(len(rows), np.bool_)
    half[rng.permutation(len(rows))[: len(rows) // 2]] = True
    drawn = [rng.permutation(np.flatnonzero(part))[:MOST_LEARNED] for part in (half, ~half)]
    learned = [_gathered(turned(rows[np.sort(part)])) for part in drawn]
    standard = Standard.of(np.concatenate(learned).reshape(-1, learned[0].shape[2]))
    heads = [_head(part, standard) for part in learned]
    scores = np.empty((len(rows), 2))
    done = 0
    for block in turned(rows):
        place = slice(done, done + len(block))
        first, second = (scores_of(block, head) for head in heads)
        scores[place] = np.where(half[place, None], second, first)
        done += len(block)
    both = LinearHead(np.mean([head.weights for head in heads], 0), np.mean([head.bias for head in heads], 0))
    return scores, both


def _gathered(blocks: Iterable[NDArray[np.float16]]) -> NDArray[np.float16]:
    return np.concatenate(list(blocks))


def head_of(layer: nn.Linear) -> LinearHead:
    """The head that a layer on pooled features is."""
    weights, bias = (part.detach().double().cpu().numpy() for part in (layer.weight, layer.bias))
    return LinearHead(weights, bias)


def write_head(head: LinearHead, layer: nn.Linear) -> None:
    """Gives a layer on pooled features the weights of a head."""
    layer.load_state_dict({"weight": from_numpy(head.weights).float(), "bias": from_numpy(head.bias).float()})


def _head(turned: NDArray[np.float16], standard: Standard) -> LinearHead:
    """Learned on features float16 [n, 4, d]."""
    features = standard(turned.reshape(-1, turned.shape[2]))
    return LinearHead.fit(features, np.tile(np.arange(VIEWS), len(turned)), VIEWS, standard)


def scores_of(turned: NDArray[np.float16], head: LinearHead) -> NDArray[np.float64]:
    """Loss and share of orientations that are recognised, float64 [b, 2]."""
    logits = head.logits(turned.reshape(-1, turned.shape[2])).reshape(len(turned), VIEWS, VIEWS)
    right = np.arange(VIEWS)
    losses = -log_softmax(logits, axis=2)[:, right, right]
    return np.stack([losses.mean(1), (logits.argmax(2) == right).mean(1)], axis=1)
