"""Whether the pool estimate is unbiased and how exact it is, on the models of finished runs, whose truth is known.

The test images of a run are drawn from the same images as its pool, uniformly, and nothing was queried from them: control picks.
They are redrawn, with replacement, many times, and each time the estimate is compared with the model's accuracy on all of them.
There the confidence on "the pool" is that on all test images, so it is the estimate and its interval alone that are tried.

How a live project counts its pool, in which labelled images are, is tried apart: the mean confidence on the pool less that on the
test images, which a run's seeds know to a fraction of a point.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from pt4al_backend import wilson
from pt4al_backend.analysis import label_errors
from pt4al_backend.analysis.pool_estimate import PoolConfidence, estimate
from pt4al_backend.bench import features, tables
from pt4al_backend.bench.records import Record, read
from pt4al_backend.bench.report import Section
from pt4al_backend.bench.truth import Truth
from pt4al_backend.config import project_settings
from pt4al_backend.config.catalog import LABEL_SPACES
from pt4al_backend.errors import ConfigError
from pt4al_backend.learn.frozen.calibration import temperature
from pt4al_backend.learn.labels.image_labels import ImageLabels

Floats = NDArray[np.float64]

PICKS = (12, 30, 60, 120)
STRATA = 4  # of confidence, by which cross-validated labels are weighted

REDRAWN = (
    "Control picks redrawn {draws:,} times from each of {seeds} seeds' test images. *Shown* is for how many of the models the "
    "rule lets a project show it; all else is of all models. Bias and standard deviation (sd) are in points, the bias ± its "
    "standard error over the seeds. *Held* is how often the 95 % interval held the truth, ± the standard deviation over the "
    "seeds. *Width* is the mean width of the estimate's interval over that of the plain one, by control picks alone, and *worth* "
    "how many more control picks would have made the plain one as exact."
)
OTHERS = (
    "How often other 95 % intervals of the same redraws held the truth, and the bias in points: the same estimate with a t "
    "interval, and the tuned one of PPI++ with a t interval."
)
COUNTED = (
    "The mean of what is counted less the truth, in points, ± its standard error over the seeds. Of the mean confidence on the "
    "pool the truth is that on the test images: with the labelled images counted by cross-validation, as the estimate has it, "
    "not at all, or by the model that has learned them. Of cross-validated labels alone the truth is the model's accuracy: as "
    "they are, and weighted as the confidences of the test images are."
)


@dataclass(frozen=True)
class Model:
    """The model of one seed and one number of labels.

    Attributes:
        right, confidence: on the test images, float64 [t]: 1 where it is right, and how sure it is of its answer.
        pool: how sure it is of the pool, as a live project counts it.
        counted: by name, what is counted of the pool less the truth.
    """

    seed: int
    labels: int
    right: Floats
    confidence: Floats
    pool: PoolConfidence
    counted: dict[str, float]


def models(to: Path, whole: Truth, arm: str) -> Iterator[Model]:
    """The models of an arm of finished runs on the features of a frozen encoder, after half and after all of their rounds.

    Args:
        to: the output folder of the runs.
        whole: the data set that they are of.

    Raises:
        ConfigError: there is no such arm.
    """
    found = read(to, whole.end).arms
    if arm not in found:
        raise ConfigError(f"No arm is named {arm!r}.", f"There are {', '.join(map(repr, found)) or 'none'}.")
    for seed in sorted({record.seed for record in found[arm]}):
        rounds = sorted((record for record in found[arm] if record.seed == seed), key=lambda record: record.round)
        for last in dict.fromkeys((len(rounds) // 2, len(rounds))):
            if last:
                yield _model(whole.of_seed(seed), rounds[:last])


def _model(truth: Truth, rounds: Sequence[Record]) -> Model:
    options = project_settings(rounds[0].settings)
    known, standard = features.of(truth, options, "cpu")
    space = LABEL_SPACES.load(truth.task, ImageLabels)(truth.classes)
    targets = np.asarray(space.targets(truth.labels.tolist(), None, Path()))
    seed, labelled = rounds[0].seed, np.concatenate([record.query for record in rounds])
    is_balanced = options.class_weights == "balanced"
    warm = temperature(space, known[labelled], targets[labelled], standard, balanced=is_balanced, seed=seed)

    def learn(learned: NDArray[np.floating], answers: NDArray[np.int64]) -> label_errors.Posteriors:
        head = space.fit_head(standard(learned), answers, standard, balanced=is_balanced)
        return lambda others: space.posteriors_of(head.logits(others) / warm)

    posteriors = learn(known[labelled], targets[labelled])
    test, rest = (posteriors(known[rows]) for rows in (truth.test, np.setdiff1d(truth.rows, labelled)))
    right, confidence = space.right(test, targets[truth.test]), test.max(1)
    judged = label_errors.judge(
        lambda places: known[labelled[places]], targets[labelled], labelled, learn, np.random.default_rng(seed)
    )
    there = judged.is_judged
    sure, crossed = judged.confidence[there], (judged.answers == targets[labelled])[there].astype(np.float64)
    weights, learned = _weights(sure, confidence), posteriors(known[labelled[there]]).max(1)
    unjudged = int((~there).sum())
    pool, known_pool = (PoolConfidence.of(rest.max(1), len(rest), each, crossed, unjudged) for each in (sure, learned))
    pools = {"cross-validated": pool.mean, "left out": float(rest.max(1).mean()), "by the model": known_pool.mean}
    counted = {f"confidence, labelled {name}": mean - float(confidence.mean()) for name, mean in pools.items()}
    counted["cross-validated labels"] = float(crossed.mean() - right.mean())
    counted["the same, weighted"] = float(crossed @ weights / weights.sum() - right.mean())
    return Model(seed, len(labelled), right, confidence, pool, counted)


def _weights(labelled: Floats, uniform: Floats) -> Floats:
    """Importance weights float64 [l]: in each stratum of confidence, its share of what is ``uniform`` over that of the labels."""
    edges = np.quantile(labelled, np.arange(1, STRATA) / STRATA)
    own, theirs = (np.bincount(np.searchsorted(edges, each), minlength=STRATA) for each in (labelled, uniform))
    ratio = theirs / len(uniform) / np.maximum(own / len(labelled), 1 / len(labelled))
    weights: Floats = ratio[np.searchsorted(edges, labelled)]
    return weights


@dataclass(frozen=True)
class Redrawn:
    """One model's redraws: estimates, and bounds of their intervals, float64 [draws], by name; ``worth`` is of the estimate."""

    model: Model
    picks: int
    values: dict[str, Floats]
    bounds: dict[str, tuple[Floats, Floats]]
    worth: Floats

    @property
    def truth(self) -> float:
        """The accuracy on all images."""
        return float(self.model.right.mean())

    def bias(self, name: str) -> float:
        """How far the mean of an estimate is from the truth."""
        return float(self.values[name].mean()) - self.truth

    def held(self, name: str) -> float:
        """How often the interval held the truth."""
        low, high = self.bounds[name]
        return float(((low <= self.truth + 1e-12) & (self.truth <= high + 1e-12)).mean())

    def width(self, name: str) -> float:
        """The mean width of the intervals."""
        low, high = self.bounds[name]
        return float((high - low).mean())


def redraw(model: Model, picks: int, draws: int) -> Redrawn:
    """The control picks of a model, redrawn."""
    rng = np.random.default_rng([model.seed, model.labels, picks])
    drawn = rng.integers(0, len(model.right), (draws, picks))
    right, confidence, mean = model.right[drawn], model.confidence[drawn], float(model.confidence.mean())
    pool = replace(model.pool, mean=mean, variance=0.0)
    plain = right.mean(1)
    found = [estimate(*each, pool) for each in zip(right, confidence, strict=True)]
    value, low, high, worth = (np.array([getattr(each, name) for each in found]) for name in ("value", "low", "high", "worth"))
    below, above = np.array([wilson.bounds(share, picks) for share in plain.tolist()]).T
    values, bounds = {"plain": plain, "estimate": value}, {"plain": (below, above), "estimate": (low, high)}
    for name, factor in {"t": np.ones(draws), "PPI++": _tuned(right, confidence)}.items():
        left = right - factor[:, None] * confidence
        values[name] = left.mean(1) + factor * mean
        half = t.ppf(0.975, picks - 1) * left.std(1, ddof=1) / np.sqrt(picks)
        bounds[name] = (values[name] - half, values[name] + half)
    return Redrawn(model, picks, values, bounds, worth)


def _tuned(right: Floats, confidence: Floats) -> Floats:
    """PPI++'s lambda of each redraw, float64 [draws], for a pool that is large beside the picks."""
    deviation = confidence - confidence.mean(1, keepdims=True)
    factor: Floats = (deviation * right).sum(1) / np.maximum((deviation**2).sum(1), 1e-12)
    return np.clip(factor, 0.0, 1.0)


def sections(found: Sequence[Model], draws: int) -> list[Section]:
    """The tables of a report."""
    redrawn = [redraw(model, picks, draws) for model in found for picks in PICKS]
    seeds = len({model.seed for model in found})
    return [
        Section("By control picks", REDRAWN.format(draws=draws, seeds=seeds), _table(redrawn, _exactness)),
        Section("Other intervals", OTHERS, _table(redrawn, _others)),
        Section("What is counted of the pool", COUNTED, _counted(found)),
    ]


def _table(redrawn: Sequence[Redrawn], cells: Callable[[Sequence[Redrawn]], dict[str, str]]) -> str:
    """A row for each number of labels and of control picks."""
    rows: list[dict[str, str]] = []
    for labels, picks in sorted({(each.model.labels, each.picks) for each in redrawn}):
        own = [each for each in redrawn if (each.model.labels, each.picks) == (labels, picks)]
        truth = np.mean([each.truth for each in own])
        rows.append({"labels": f"{labels:,}", "right": f"{100 * truth:.1f} %", "control picks": f"{picks:,}", **cells(own)})
    return tables.table(list(rows[0]), [list(row.values()) for row in rows]) if rows else tables.NONE


def _exactness(own: Sequence[Redrawn]) -> dict[str, str]:
    cells = {"shown": f"{100 * np.mean([each.model.pool.suits(each.picks) for each in own]):.0f} %"}
    for name in ("plain", "estimate"):
        cells[f"bias, {name}"] = _with_error([each.bias(name) for each in own])
        cells[f"sd, {name}"] = f"{100 * np.mean([each.values[name].std() for each in own]):.1f}"
        cells[f"held, {name}"] = _held(own, name)
    cells["width"] = f"{np.mean([each.width('estimate') / each.width('plain') for each in own]):.2f}"
    return {**cells, "worth": f"+{np.mean([each.worth.mean() - each.picks for each in own]):.0f}"}


def _others(own: Sequence[Redrawn]) -> dict[str, str]:
    cells: dict[str, str] = {}
    for name in ("t", "PPI++"):
        cells |= {f"bias, {name}": _with_error([each.bias(name) for each in own]), f"held, {name}": _held(own, name)}
    return cells


def _held(own: Sequence[Redrawn], name: str) -> str:
    held = [each.held(name) for each in own]
    return f"{100 * np.mean(held):.1f} ± {100 * np.std(held):.1f} %"


def _counted(found: Sequence[Model]) -> str:
    sizes = sorted({model.labels for model in found})
    rows = []
    for name in dict.fromkeys(name for model in found for name in model.counted):
        own = [[model.counted[name] for model in found if model.labels == labels] for labels in sizes]
        rows.append([name, *map(_with_error, own)])
    return tables.table(["counted", *(f"{labels:,} labels" for labels in sizes)], rows)


def _with_error(values: Sequence[float]) -> str:
    """The mean in points, and its standard error."""
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{100 * np.mean(values):+.2f} ± {100 * error:.2f}"
