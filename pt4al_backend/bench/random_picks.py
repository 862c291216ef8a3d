"""Whether the control picks can say what random picks would have given, on images whose truth is known.

Control picks are random, and labelled: a head that learns some of them is an honest model of as many random picks, and the
others measure it. A project has nine times as many labels, though, so what random picks would have given for these is a forecast
from the heads of a third and of two thirds of the control picks. Both are compared with heads of random picks, measured on the
test images.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pt4al_backend import wilson
from pt4al_backend.analysis.forecast import Forecast
from pt4al_backend.analysis.learning_curve import Point
from pt4al_backend.bench import features, tables
from pt4al_backend.bench.records import read
from pt4al_backend.bench.report import Section
from pt4al_backend.bench.truth import Truth
from pt4al_backend.config import project_settings
from pt4al_backend.config.catalog import LABEL_SPACES
from pt4al_backend.errors import ConfigError, TooFewClasses
from pt4al_backend.learn.labels.image_labels import ImageLabels

PICKS = (12, 30, 60, 120)
LABELS_A_PICK = 9  # a tenth of a query are control picks
PARTINGS = 8  # of the control picks, into what a head learns and what measures it
DRAWS = 10  # of random picks, whose mean is the truth

NOTE = (
    "What control picks say of heads of so many random picks, beside the truth: the mean accuracy of {draws} such heads on the "
    "test images. Estimates are means of {seeds} seeds, ± their standard deviation, in %; *held* is how often the 95 % interval "
    "held the truth, *width* is its mean width in points. A third and two thirds of the control picks are measured on the "
    "others; the labels of the project are forecast from these two, by power laws."
)


@dataclass(frozen=True)
class Estimated:
    """What the control picks of one seed say of random picks: the estimate, the bounds of its interval, and the truth, 0..1."""

    picks: int
    labels: int
    is_forecast: bool
    value: float
    low: float
    high: float
    truth: float


class Heads:
    """Heads on the features of a data set.

    Args:
        to: the output folder of finished runs; their settings are taken.
        whole: their data set.

    Raises:
        ConfigError: there are no runs.
    """

    def __init__(self, to: Path, whole: Truth) -> None:
        records = [record for rounds in read(to, whole.end).arms.values() for record in rounds]
        if not records:
            raise ConfigError(f"{to} holds no finished runs.", "Run `pt4al bench features` with this output folder first.")
        options = project_settings(records[0].settings)
        self._whole, self._is_balanced = whole, options.class_weights == "balanced"
        self._known, self._standard = features.of(whole, options, "cpu")
        self._space = LABEL_SPACES.load(whole.task, ImageLabels)(whole.classes)
        self._targets = np.asarray(self._space.targets(whole.labels.tolist(), None, Path()))
        self.truth = lru_cache(maxsize=None)(self._truth)

    def right(self, learned: NDArray[np.int64], measured: NDArray[np.int64]) -> float:
        """How many of some rows a head of others is right about, 0..1.

        Raises:
            TooFewClasses: there is nothing to learn.
        """
        self._space.require_learnable(self._targets[learned])
        chosen = self._standard(self._known[learned])
        head = self._space.fit_head(chosen, self._targets[learned], self._standard, balanced=self._is_balanced)
        return float(self._space.right(head.logits(self._known[measured]), self._targets[measured]).mean())

    def _truth(self, labels: int) -> float:
        """The mean accuracy of heads of so many random picks."""
        found = []
        for seed in range(DRAWS):
            part, rng = self._whole.of_seed(seed), np.random.default_rng([seed, labels])
            found.append(self.right(rng.choice(part.rows, labels, replace=False), part.test))
        return float(np.mean(found))


def estimates(heads: Heads, whole: Truth, seed: int) -> Iterator[Estimated]:
    """What control picks that are drawn from the pool of a seed say, for each number of them that the pool suffices for."""
    for picks in PICKS:
        rng, rows = np.random.default_rng([seed, picks]), whole.of_seed(seed).rows
        drawn = rng.choice(rows, picks, replace=False)
        points: list[Point] = []
        for part, labels in enumerate((picks // 3, 2 * picks // 3), 1):
            value = _crossed(heads, drawn, labels, rng)
            if value is None:
                continue
            low, high = wilson.bounds(value, picks)
            points.append(Point(part, labels, value, low, high, picks))
            yield Estimated(picks, labels, False, value, low, high, heads.truth(labels))
        goal = LABELS_A_PICK * picks
        if points and goal <= len(rows):
            at = Forecast(points).at(goal)
            yield Estimated(picks, goal, True, at.middle, at.low, at.high, heads.truth(goal))


def _crossed(heads: Heads, drawn: NDArray[np.int64], labels: int, rng: np.random.Generator) -> float | None:
    """How good heads of so many of the control picks are on the others, on average; None if no head could learn."""
    found = []
    for _ in range(PARTINGS):
        order = rng.permutation(drawn)
        try:
            found.append(heads.right(order[:labels], order[labels:]))
        except TooFewClasses:
            continue
    return float(np.mean(found)) if found else None


def sections(found: Sequence[Estimated], seeds: int) -> list[Section]:
    """The table of a report."""
    rows = []
    for picks, labels in sorted({(each.picks, each.labels) for each in found}):
        own = [each for each in found if (each.picks, each.labels) == (picks, labels)]
        values = 100 * np.array([each.value for each in own])
        held = np.mean([each.low <= each.truth <= each.high for each in own])
        width = np.mean([each.high - each.low for each in own])
        how = "forecast" if own[0].is_forecast else "measured"
        cells = [
            f"{100 * own[0].truth:.1f}",
            f"{values.mean():.1f} ± {values.std():.1f}",
            f"{100 * held:.0f} %",
            f"{100 * width:.0f}",
        ]
        rows.append([f"{picks}", f"{labels:,}", how, *cells])
    head = ["control picks", "random picks", "how", "truth", "estimate", "held", "width"]
    return [Section("What random picks would have given", NOTE.format(draws=DRAWS, seeds=seeds), tables.table(head, rows))]
