"""Whether it is worth going on: one sentence with its reason, from the learning curve and its forecast."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pt4al_backend.analysis.forecast import Estimate, Forecast
from pt4al_backend.analysis.learning_curve import Point, picks_to_halve

LEAST_GAIN = 0.01  # what as many labels again must bring to be worth it
SURE, HARDLY = 0.8, 0.2  # how likely they must be to bring that: from the one on go on, up to the other stop
CLOSE = 0.02  # an interval of the gain that is no wider leaves nothing to wait for
GAINS = (0.03, 0.01)  # that the forecast is asked for, the larger one while the error is more than twice as large


class Verdict(StrEnum):
    """What the advice comes down to."""

    UNMEASURED = "unmeasured"  # no model was measured yet
    GO_ON = "go on"
    LITTLE_LEFT = "little left"
    TOO_FEW_PICKS = "too few control picks"
    ALL_LABELLED = "all labelled"


@dataclass(frozen=True)
class Advice:
    """The advice, and the numbers that it rests on.

    Attributes:
        sentence: it and its reason, for people.
        more: labels beyond the present ones whose worth is given; 0 where none is.
        gain: what they add to the measure.
        chance: how likely that is ``LEAST_GAIN`` or more.
        halved_by: control picks that would halve the interval of the measure.
    """

    verdict: Verdict
    sentence: str
    more: int = 0
    gain: Estimate | None = None
    chance: float | None = None
    halved_by: int = 0


UNMEASURED = Advice(
    Verdict.UNMEASURED, "No model has been measured yet. Advice comes with the first round that is trained and has control picks."
)


def advise(curve: Sequence[Point], forecast: Forecast | None, metric: str, unlabelled: int) -> Advice:
    """The advice for a curve and its forecast.

    Args:
        metric: what the curve is of, as people read it.
        unlabelled: images of the pool that wait for a label.
    """
    if forecast is None or not curve:
        return UNMEASURED
    last = curve[-1]
    more, halved_by = min(last.labels, unlabelled), picks_to_halve(last)
    if more < 1:
        return Advice(Verdict.ALL_LABELLED, "No image is left to label.", halved_by=halved_by)
    gain, chance = forecast.gain(more), forecast.chance_of(LEAST_GAIN, more)
    verdict = _verdict(gain, chance)
    sentence = _SENTENCES[verdict].format(
        more=f"{more:,} more {'label' if more == 1 else 'labels'}",
        gain=_points(gain.middle),
        range=f"{100 * gain.low:.1f} to {100 * gain.high:.1f}",
        metric=metric,
        picks=f"{last.picks:,} control {'pick' if last.picks == 1 else 'picks'}",
        halved_by=f"{halved_by:,}",
    )
    return Advice(verdict, sentence, more, gain, chance, halved_by)


def _verdict(gain: Estimate, chance: float) -> Verdict:
    if chance >= SURE:
        return Verdict.GO_ON
    if chance <= HARDLY:
        return Verdict.LITTLE_LEFT
    if gain.high - gain.low <= CLOSE:
        return Verdict.GO_ON if gain.middle >= LEAST_GAIN else Verdict.LITTLE_LEFT
    return Verdict.TOO_FEW_PICKS


_SENTENCES = {
    Verdict.GO_ON: "Go on: {more} would bring about {gain} of {metric} (95 %: {range}).",
    Verdict.LITTLE_LEFT: "Little is left to win: {more} would bring about {gain} of {metric} (95 %: {range}).",
    Verdict.TOO_FEW_PICKS: "Too few control picks to say: by {picks}, {more} would bring {range} points of {metric} (95 %). "
    "{halved_by} more control picks would halve the interval of what is measured.",
}


def price(forecast: Forecast) -> tuple[float, Estimate]:
    """A gain that is worth asking for, and how many more labels it takes."""
    error = 1 - forecast.now.middle
    gain = next((each for each in GAINS if error > 2 * each), GAINS[-1])
    return gain, forecast.needed(gain)


def price_sentence(gain: float, needed: Estimate, unlabelled: int) -> str:
    """The same as a sentence; labels are rounded, as no forecast is exact to one of them."""
    is_one = gain == 0.01
    goal = f"+{100 * gain:.0f} {'point' if is_one else 'points'}"
    if needed.middle > unlabelled:
        least = "" if needed.low > unlabelled else f", at best about {rounded(needed.low):,}"
        return f"{goal} probably {'takes' if is_one else 'take'} more labels than the {unlabelled:,} images that are left{least}."
    upper = "more than are left" if needed.high > unlabelled else f"{rounded(needed.high):,}"
    return f"About {rounded(needed.middle):,} more labels for {goal} (95 %: {rounded(needed.low):,} to {upper})."


def rounded(labels: float) -> int:
    """Two digits of a number of labels, at least one label."""
    step = int(10 ** max(math.floor(math.log10(max(labels, 1.0))) - 1, 0))
    return max(round(labels / step) * step, 1)


def _points(gain: float) -> str:
    return f"{100 * gain:.1f} points"
