"""Which labels a model takes for which: counts of pairs, and the classes that are worth a place in a table."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of a label and an answer that occur: numbers of classes int64 [k] each, and how often int64 [k], ascending."""

    labels: NDArray[np.int64]
    answers: NDArray[np.int64]
    counts: NDArray[np.int64]

    @property
    def mistakes(self) -> NDArray[np.int64]:
        """Places int64 [m] of the pairs that differ, the most frequent first."""
        differ = np.flatnonzero(self.labels != self.answers)
        return differ[np.argsort(-self.counts[differ], kind="stable")]

    def worst(self, most: int) -> NDArray[np.int64]:
        """At most so many classes, ascending: those that occur, and of these those that are in the most mistakes."""
        there = np.unique(np.concatenate([self.labels, self.answers]))
        wrong = np.where(self.labels != self.answers, self.counts, 0)
        in_mistakes = np.zeros(len(there), np.int64)
        for side in (self.labels, self.answers):
            np.add.at(in_mistakes, np.searchsorted(there, side), wrong)
        return np.sort(there[np.argsort(-in_mistakes, kind="stable")[:most]])

    def table(self, classes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Counts int64 [c, c] of these ascending classes: a row for each label, a column for each answer."""
        found = np.zeros((len(classes), len(classes)), np.int64)
        shown = np.isin(self.labels, classes) & np.isin(self.answers, classes)
        places = (np.searchsorted(classes, side[shown]) for side in (self.labels, self.answers))
        found[tuple(places)] = self.counts[shown]
        return found


def pairs(labels: NDArray[np.int64], answers: NDArray[np.int64]) -> Pairs:
    """Counts the pairs of labels int64 [n] and answers int64 [n]."""
    width = int(max(labels.max(initial=0), answers.max(initial=0))) + 1
    both, counts = np.unique(labels * width + answers, return_counts=True)  # one number for two: many times as fast
    return Pairs(both // width, both % width, counts.astype(np.int64))
