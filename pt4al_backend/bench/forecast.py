"""How often the overview's forecast and its stop advice are right, on learning curves whose truth is known.

A simulated project has a true curve: what models of its labels get right on average. Each round's model is a little better or
worse than that. Images are hard or easy: a hard one is missed by most models of the project. Control picks come with every round,
and each model is measured on all there are so far, as in a live project. The forecast sees the counts alone.

The curves come from families that the forecast's laws do not contain, but for one, and from curves that were measured. Pure.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from pt4al_backend import wilson
from pt4al_backend.analysis.advice import LEAST_GAIN, Verdict, advise
from pt4al_backend.analysis.forecast import Estimate, Forecast
from pt4al_backend.analysis.learning_curve import Point
from pt4al_backend.bench import tables
from pt4al_backend.bench.measured_curves import MEASURED
from pt4al_backend.bench.report import Section
from pt4al_backend.measures import Measured

#: Accuracy of a model of so many labels, on average.
Truth = Callable[[NDArray[np.float64]], NDArray[np.float64]]

ROUNDS = (1, 3, 5, 10, 20)
PICKS = (2, 10, 50)  # control picks of a round
TRAINED = 100  # labels of a round that train, where a family has no unit of its own
GAIN = 0.03  # whose price in labels is asked for
LEAST_MEASURED, MOST_MEASURED = 3, 5  # rounds that are known of a measured curve: twice their labels are within it

ASKED = ("accuracy now", "accuracy at twice the labels", "gain of as many labels again", "labels for 3 points")
SIZE_BOUNDS = (12, 50, 200)

CURVES = (
    "How often the 95 % intervals held the truth; how wide that of the accuracy at twice the labels is, and by how much its "
    "middle is off, in points; which advice was given, and how often that was right: as many labels again bring one point or "
    "more, or less."
)
SIZES = "The same, by the control picks that measured the newest model."

HARDNESS = 0.7  # share of the variance of an image's being right that all models of a project have in common
RETRAINED = 0.01  # standard deviation of a model's accuracy about the true curve


@dataclass(frozen=True)
class Project:
    """What is simulated: the true curve, and the rounds that are known of it."""

    family: str
    truth: Truth
    labels: tuple[int, ...]
    picks: int


@dataclass(frozen=True)
class Outcome:
    """Whether the forecast of one project was right.

    Attributes:
        held: by what was asked for, whether its 95 % interval held the truth.
        width: of the interval of the accuracy at twice the labels.
        off: by how much its middle was off.
        verdict: the advice.
        is_right: whether that was right; None where it gave none.
    """

    project: Project
    held: Mapping[str, bool]
    width: float
    off: float
    verdict: Verdict
    is_right: bool | None

    @property
    def picks(self) -> int:
        """Control picks that measured the newest model."""
        return self.project.picks * len(self.project.labels)


def power_law(rng: np.random.Generator) -> Truth:
    """What the forecast takes curves for."""
    floor, exponent, first = rng.uniform(0, 0.3), rng.uniform(0.2, 1.0), rng.uniform(0.3, 0.7)
    return lambda labels: 1 - floor - (1 - floor) * first * (labels / TRAINED) ** -exponent


def exponential(rng: np.random.Generator) -> Truth:
    """A curve that is level sooner than any power law."""
    floor, first, scale = rng.uniform(0.02, 0.3), rng.uniform(0.2, 0.7), TRAINED * 10 ** rng.uniform(0, 1.3)
    return lambda labels: 1 - floor - (1 - floor) * first * np.exp(-labels / scale)


def sigmoid(rng: np.random.Generator) -> Truth:
    """A curve that is slow at first, along the logarithm of the labels."""
    top, middle, slope = rng.uniform(0.7, 0.98), math.log(TRAINED) + rng.uniform(-1, 1.5), rng.uniform(0.7, 2)
    return lambda labels: 0.1 + (top - 0.1) / (1 + np.exp(-slope * (np.log(labels) - middle)))


def flat(rng: np.random.Generator) -> Truth:
    """A curve on which labels change nothing any more."""
    accuracy = rng.uniform(0.5, 0.99)
    return lambda labels: np.full(labels.shape, accuracy)


FAMILIES: Mapping[str, Callable[[np.random.Generator], Truth]] = {
    "power law": power_law,
    "exponential": exponential,
    "sigmoid": sigmoid,
    "flat": flat,
}


def projects(seed: int) -> Iterable[Project]:
    """The simulated projects of a seed: every family and every measured curve, with every number of control picks and rounds."""
    rng = np.random.default_rng([seed, 0])
    for picks in PICKS:
        for rounds in ROUNDS:
            labels = tuple(TRAINED * number for number in range(1, rounds + 1))
            for family, draw in FAMILIES.items():
                yield Project(family, draw(rng), labels, picks)
        for at, values in MEASURED.values():
            known = int(rng.integers(LEAST_MEASURED, MOST_MEASURED + 1))
            yield Project("measured", _interpolated(at, values), tuple(at[:known]), picks)


def _interpolated(at: Sequence[int], values: Sequence[float]) -> Truth:
    """A curve through measured values, linear along the logarithm of the labels."""
    return lambda labels: np.interp(np.log(labels), np.log(at), values)


def simulated(project: Project, rng: np.random.Generator) -> list[Point]:
    """The learning curve that such a project shows."""
    labels, rounds = np.array(project.labels, np.float64), len(project.labels)
    accuracy = np.clip(project.truth(labels) + rng.normal(0, RETRAINED, rounds), 0.001, 0.999)
    common = rng.normal(0, math.sqrt(HARDNESS), project.picks * rounds)
    own = rng.normal(0, math.sqrt(1 - HARDNESS), (rounds, len(common)))
    is_right = common + own < norm.ppf(accuracy)[:, None]
    points = [
        _point(
            number, project.labels[number - 1], int(is_right[number - 1, : project.picks * number].sum()), project.picks * number
        )
        for number in range(1, rounds + 1)
    ]
    return [point for point in points if point is not None]


def _point(number: int, labels: int, right: int, picks: int) -> Point | None:
    low, high = wilson.bounds(right / picks, picks)
    measured = Measured(value=right / picks, low=low, high=high)
    return Point.of(number, labels, measured, picks)


def outcome(project: Project, rng: np.random.Generator) -> Outcome:
    """What the forecast says of a project, against its truth."""
    points = simulated(project, rng)
    forecast, last = Forecast(points), project.labels[-1]
    now, then = project.truth(np.array([last, 2 * last], np.float64)).tolist()
    at, gain = forecast.at(2 * last), forecast.gain(last)
    advice = advise(points, forecast, "accuracy", 100 * last)
    wants_more = {Verdict.GO_ON: True, Verdict.LITTLE_LEFT: False}.get(advice.verdict)
    return Outcome(
        project,
        {
            "accuracy now": _holds(forecast.now, now),
            "accuracy at twice the labels": _holds(at, then),
            "gain of as many labels again": _holds(gain, then - now),
            "labels for 3 points": _holds(forecast.needed(GAIN), _price(project, now)),
        },
        at.high - at.low,
        abs(at.middle - then),
        advice.verdict,
        None if wants_more is None else wants_more == (then - now >= LEAST_GAIN),
    )


def _holds(interval: Estimate, value: float) -> bool:
    return interval.low - 1e-9 <= value <= interval.high + 1e-9


def _price(project: Project, now: float) -> float:
    """How many more labels the true curve takes for `GAIN`; infinite if a thousand times as many do not suffice."""
    last = project.labels[-1]
    more = np.geomspace(1, 1000 * last, 4000)
    reached = np.flatnonzero(project.truth(last + more) >= now + GAIN)
    return float(more[reached[0]]) if len(reached) else math.inf


def run(seeds: Iterable[int]) -> list[Outcome]:
    """The outcomes of all projects of these seeds."""
    return [
        outcome(project, np.random.default_rng([seed, 1, number]))
        for seed in seeds
        for number, project in enumerate(projects(seed))
    ]


def sections(outcomes: Sequence[Outcome]) -> list[Section]:
    """The tables of a report."""
    sizes = sorted(outcomes, key=lambda each: each.picks)
    return [
        Section("By the kind of curve", CURVES, table(outcomes, lambda each: each.project.family, "curve")),
        Section("By control picks", SIZES, table(sizes, _size, "control picks")),
    ]


def _size(found: Outcome) -> str:
    bounds = [bound for bound in SIZE_BOUNDS if found.picks > bound]
    above = [bound for bound in SIZE_BOUNDS if found.picks <= bound]
    return f"{bounds[-1] + 1 if bounds else 1} to {above[0]}" if above else f"more than {bounds[-1]}"


def table(outcomes: Sequence[Outcome], group: Callable[[Outcome], str], name: str) -> str:
    """A row for each group of projects, in the order in which they come: how often intervals held and advice was right."""
    head = [name, "n", *ASKED, "width", "off by"]
    advice = ["go on", "right", "little left", "right", "too few picks"]
    rows = []
    for key in dict.fromkeys(map(group, outcomes)):
        own = [each for each in outcomes if group(each) == key]
        held = [_share([each.held[asked] for each in own]) for asked in ASKED]
        sizes = [f"{100 * np.mean([each.width for each in own]):.1f}", f"{100 * np.mean([each.off for each in own]):.1f}"]
        rows.append([key, f"{len(own):,}", *held, *sizes, *_advised(own)])
    return tables.table([*head, *advice], rows)


def _advised(own: Sequence[Outcome]) -> list[str]:
    cells = []
    for verdict in (Verdict.GO_ON, Verdict.LITTLE_LEFT):
        given = [each.is_right is True for each in own if each.verdict is verdict]
        cells += [_share([each.verdict is verdict for each in own]), _share(given)]
    return [*cells, _share([each.verdict is Verdict.TOO_FEW_PICKS for each in own])]


def _share(values: Sequence[bool]) -> str:
    return f"{100 * np.mean(values):.0f} %" if values else tables.NONE
