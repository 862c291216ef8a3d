"""The rule by which several annotators of an image become one label.

A ground-truth annotation decides. Of several, and without one, the majority does, and of equally many the newest annotation.
`decisive` and `winner` apply it: to the one choice of an image (``classification``), and to each class by itself where an image
has any number of them (``multilabel``). `winners` applies it to the pixels of masks, which ``votes`` holds packed.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from pt4al_backend.aliases import ClassIds

T = TypeVar("T", bound=Hashable)
V = TypeVar("V")


def decisive(read: Sequence[tuple[Mapping[str, Any], V]]) -> Sequence[tuple[Mapping[str, Any], V]]:
    """Those annotations of a task, each with what it says, that are counted: the ground truth, or all where there is none."""
    return [(annotation, each) for annotation, each in read if annotation.get("ground_truth") is True] or read


def winner(answers: Sequence[T]) -> T:
    """The answer that most annotators give, of whom the newest comes last."""
    votes = Counter(answers)
    return max(reversed(answers), key=votes.__getitem__)


def winners(answers: ClassIds) -> ClassIds:
    """The id that wins each pixel [pixels], of those that [annotators, pixels] give it; the newest annotator comes last."""
    elected: ClassIds = answers[-1].copy()
    open_ones = np.flatnonzero((answers != elected).any(axis=0))
    if open_ones.size:
        elected[open_ones] = _counted(answers.take(open_ones, axis=1))
    return elected


def _counted(answers: ClassIds) -> ClassIds:
    """The same, of pixels on which not all agree."""
    annotators, pixels = answers.shape
    ages = np.arange(annotators, dtype=np.min_scalar_type(annotators * (annotators + 1)))[:, None]
    elected, most = np.empty(pixels, dtype=np.uint8), np.zeros(pixels, dtype=ages.dtype)
    for each in np.unique(answers):
        hits = answers == each
        # Of equally many the one whose newest annotation is newest: no two have the same, so no two ranks are equal.
        rank = hits.sum(axis=0, dtype=ages.dtype) * ages.dtype.type(annotators) + (hits * ages).max(axis=0)
        np.copyto(elected, each, where=rank > most)
        np.maximum(most, rank, out=most)
    return elected
