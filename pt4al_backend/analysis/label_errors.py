"""Suspected label errors: labels that models would not have given that have not seen them.

Out-of-sample self-confidence (Northcutt et al., Confident Learning, JAIR 2021): the labels are dealt out to folds. A head that
has learned all folds but one says of each image in that one how probable its label is. The least probable labels come first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Parts that the labels are dealt out to.
FOLDS = 5
#: Most labels that a head is learned on; they are drawn if there are more.
MOST_LEARNED = 10_000
#: Images that are judged at a time.
BLOCK = 1_024

#: Reads features [m, d] of positions int64 [m] among the labelled images.
Read = Callable[[NDArray[np.int64]], NDArray[np.floating]]
#: Posteriors float64 [m, C] of features [m, d].
Posteriors = Callable[[NDArray[np.floating]], NDArray[np.float64]]
#: Learns targets [n, ...] of features [n, d].
Learn = Callable[[NDArray[np.floating], NDArray[Any]], Posteriors]


@dataclass(frozen=True, eq=False)
class Judged:
    """What heads say of images whose labels they have not seen.

    Attributes:
        answers: their answers, as the targets are: int64 [n], or bool [n, C] for sets of classes.
        confidence: float64 [n], the posterior of the answer; of a set, the least certain class's.
        self_confidence: float64 [n], the posterior of the label; nan where no head could know it.
    """

    answers: NDArray[Any]
    confidence: NDArray[np.float64]
    self_confidence: NDArray[np.float64]

    @property
    def is_judged(self) -> NDArray[np.bool_]:
        """bool [n]: whether a head could know the label."""
        return ~np.isnan(self.self_confidence)

    def suspects(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """Positions int64 [m] of those labels that are not the heads' answer, the least probable first."""
        differs = self.answers != targets
        there = np.flatnonzero(self.is_judged & (differs.any(1) if differs.ndim > 1 else differs))
        return there[np.argsort(self.self_confidence[there], kind="stable")]


def judge(read: Read, targets: NDArray[np.int64], groups: NDArray[np.int64], learn: Learn, rng: np.random.Generator) -> Judged:
    """Cross-validates labels of one class for each image.

    Args:
        read: reads the images' features.
        targets: numbers of their classes, int64 [n].
        groups: int64 [n], equal for identical images, which no head may learn that judges one of them.
        learn: learns a head.
        rng: deals the labels out.
    """
    answers, confidence, itself = targets.copy(), np.full(len(targets), np.nan), np.full(len(targets), np.nan)
    folds = deal(targets, groups, rng)
    for fold in range(FOLDS):
        learned, judged = _parts(folds, fold, rng)
        known = np.unique(targets[learned])
        if len(known) < 2:  # nothing to tell apart: of what is judged, no head knows another class
            continue
        posteriors = learn(read(learned), targets[learned])
        for start in range(0, len(judged), BLOCK):
            positions = judged[start : start + BLOCK]
            found = posteriors(read(positions))
            answers[positions] = found.argmax(1)
            confidence[positions] = found.max(1)
            of_label = found[np.arange(len(positions)), targets[positions]]
            itself[positions] = np.where(np.isin(targets[positions], known), of_label, np.nan)
    return Judged(answers, confidence, itself)


def judge_sets(
    read: Read, targets: NDArray[np.bool_], groups: NDArray[np.int64], learn: Learn, rng: np.random.Generator
) -> Judged:
    """Cross-validates label sets, bool [n, C]: the self-confidence of a set is that of its least probable part."""
    answers, confidence, itself = targets.copy(), np.full(len(targets), np.nan), np.full(len(targets), np.nan)
    folds = deal(np.zeros(len(targets), np.int64), groups, rng)
    for fold in range(FOLDS):
        learned, judged = _parts(folds, fold, rng)
        held = targets[learned].any(0) & ~targets[learned].all(0)
        if not held.any():
            continue
        posteriors = learn(read(learned), targets[learned])
        for start in range(0, len(judged), BLOCK):
            positions = judged[start : start + BLOCK]
            found = posteriors(read(positions))[:, held]
            has = found > 0.5
            answers[np.ix_(positions, held)] = has
            confidence[positions] = np.where(has, found, 1 - found).min(1)
            itself[positions] = np.where(targets[positions][:, held], found, 1 - found).min(1)
    return Judged(answers, confidence, itself)


def deal(targets: NDArray[np.int64], groups: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """The fold 0..``FOLDS`` - 1 of each label, int64 [n]: each class is spread evenly, and identical images stay together."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    order = np.lexsort((rng.random(len(first)), targets[first]))
    fold = np.empty(len(first), np.int64)
    fold[order] = np.arange(len(first)) % FOLDS
    return fold[inverse]


def _parts(folds: NDArray[np.int64], fold: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the labels that a head learns, and of those that it judges."""
    learned = np.flatnonzero(folds != fold)
    if len(learned) > MOST_LEARNED:
        learned = np.sort(rng.permutation(learned)[:MOST_LEARNED])
    return learned, np.flatnonzero(folds == fold)
