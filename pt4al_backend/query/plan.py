"""The plan of a round: how many tasks it queries, which ones, and in which order they are served.

Pure: arrays in, arrays out. The live engine and the benchmark plan their rounds here; they differ in who answers.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.aliases import Ids
from pt4al_backend.config import EXTRA_PARAMS, ProjectSettings
from pt4al_backend.config.catalog import BATCH_SAMPLERS, MAIN_TASK_FACTS, NO_ENCODER, NO_ENCODER_YET, STRATEGIES, TaskName
from pt4al_backend.config.project import ON_NETWORKS
from pt4al_backend.errors import ConfigError
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.query.confidence import CALIBRATED
from pt4al_backend.query.draws import interleave, queue_scores
from pt4al_backend.query.ranking import shrink
from pt4al_backend.query.strategies import ModelOutput, Need, Request, Strategy

#: What a job can keep of each image beside its loss or its confidence.
ImageOutput = Literal["features", "posteriors", "drop_consistency"]
IMAGE_OUTPUTS: tuple[ImageOutput, ...] = ("features", "posteriors", "drop_consistency")
#: What models give that answer with one class for each image.
OF_ONE_CLASS: frozenset[Need] = frozenset({"posteriors", "drop_consistency"})

#: Settings of networks that are trained: one who sets them does not mean a frozen encoder.
OF_TRAINED_NETWORKS = ("init", "warm_start", "epochs", "learning_rate", "minibatch_size", "schedule", "width", "pretext_epochs")

QUERY_SHARE = 0.02  # of the pool: the paper's 1,000 of 50,000
SMALLEST_QUERY = 20
#: A head takes a second: nothing is saved by larger rounds, whose model is older (docs/results/saved.md).
QUERY_ON_FEATURES = 10
ROOM = 0.01  # of the range of scores, kept free for picks that are added at the end of the queue


@dataclass(frozen=True)
class Schedule:
    """Sizes, in tasks, that a pool gets.

    Attributes:
        rounds: that the pool suffices for.
        batches: I, that the ranking is cut into; a sweep has as many rounds.
        query: of each round, control picks included.
        control: control picks of a query.
        reserve: published behind the query.
        too_few: which sizes the settings want and do not fit; empty if they do.
    """

    rounds: int
    batches: int
    query: int
    control: int
    reserve: int
    too_few: str = ""

    @property
    def notice(self) -> str:
        """What had to shrink; empty if nothing had to."""
        if not self.too_few:
            return ""
        return f"{self.too_few}: there will be {self.rounds} of {self.query}. Import more images, or lower rounds or query_size."


def fit_schedule(pool: int, settings: ProjectSettings) -> Schedule:
    """Fits the settings to a pool of ``pool`` usable tasks."""
    of_network = max(SMALLEST_QUERY, round(QUERY_SHARE * pool))
    wanted = settings.query_size or (QUERY_ON_FEATURES if settings.frozen_encoder else of_network)
    rounds, query = shrink(pool, settings.rounds, wanted)
    fits = not pool or (rounds, query) == (settings.rounds, wanted)
    too_few = "" if fits else f"{pool} usable images are too few for {settings.rounds} rounds of {wanted}"
    control = math.ceil(settings.control_share * query) if query > 1 else 0
    reserve = query if settings.reserve_size is None else settings.reserve_size
    batches = min(settings.rules().batches or rounds, max(pool, 1))
    return Schedule(rounds, batches, query, control, reserve, too_few)


def strategy_of(settings: ProjectSettings, batches: int) -> Strategy:
    """The strategy that the settings name."""
    rules = settings.rules()
    return STRATEGIES.load(settings.strategy, Strategy)(
        settings.strategy,
        batches=batches,
        first_query=rules.first_query,
        sampler=rules.sampler,
        batch_order=settings.batch_order,
        seed=settings.seed,
    )


def needs_of(settings: ProjectSettings) -> frozenset[Need]:
    """What the strategy that the settings name needs beside confidences."""
    return strategy_of(settings, settings.batches or settings.rounds).needs


@dataclass(frozen=True)
class JobRequirements:
    """What a training job has to give the strategy: what is kept of each candidate, and the confidences of a companion.

    ``query_size`` is how many of the candidates the next query is going to take.
    """

    outputs: tuple[ImageOutput, ...]
    companion: str
    query_size: int


def job_requirements(settings: ProjectSettings, query: int) -> JobRequirements:
    """What a training job has to give the strategy of its settings, whose next query has ``query`` tasks."""
    strategy = strategy_of(settings, settings.batches or settings.rounds)
    return JobRequirements(tuple(want for want in IMAGE_OUTPUTS if want in strategy.needs), strategy.companion, query)


def require_fit(settings: ProjectSettings, task: str, where: str = EXTRA_PARAMS) -> None:
    """Refuses a strategy that needs what models of a main task do not give; ``where`` says where the user changes it.

    Raises:
        ConfigError: such a strategy.
    """
    _require_encoder(settings, task, where)
    facts = MAIN_TASK_FACTS[task]
    if not facts.gives or OF_ONE_CLASS.isdisjoint(needs_of(settings)):
        return
    key, names = ("sampler", BATCH_SAMPLERS) if settings.strategy == "pt4al" else ("strategy", tuple(STRATEGIES))
    others = [name for name in names if OF_ONE_CLASS.isdisjoint(needs_of(settings.model_copy(update={key: name})))]
    raise ConfigError(
        f"Setting {key!r}: {getattr(settings, key)!r} needs posteriors of images that sum to one; {facts.noun} has "
        f"{facts.gives}.",
        f"Use one of {', '.join(others)}. {where}",
    )


def on_features(settings: ProjectSettings, task: str) -> bool:
    """Whether heads are trained on a frozen encoder's features; a segmenter's decoder needs more of an encoder than these."""
    return bool(settings.frozen_encoder) and task != TaskName.SEGMENTATION


def for_task(settings: ProjectSettings, task: str, chosen: str = "") -> ProjectSettings:
    """The settings as a main task reads them, with the encoder ``chosen`` for the project, "" for none yet, if they name none.

    A segmenter is queried as a network that is trained, on a frozen encoder too.
    """
    if settings.encoder is None and chosen not in ("", NO_ENCODER, NO_ENCODER_YET):
        settings = settings.model_copy(update={"encoder": chosen})
    if task != TaskName.SEGMENTATION or not settings.frozen_encoder:
        return settings
    if settings.tuning == "auto":
        return settings.model_copy(update={"tuning": "full"})
    rules = {**ON_NETWORKS._replace(batches=settings.rounds)._asdict(), "query_size": SMALLEST_QUERY}
    return settings.model_copy(update={name: rule for name, rule in rules.items() if getattr(settings, name) is None})


def leaves_encoder_open(settings: ProjectSettings, task: str) -> bool:
    """Whether a pretrained encoder is to be chosen for a project that has none yet: nothing asks for a small network."""
    if settings.encoder is not None:
        return False
    if task == TaskName.SEGMENTATION:  # whatever is set, a segmenter trains a network: it only matters what it starts from
        return settings.init == "auto"
    companion = strategy_of(settings, settings.batches or settings.rounds).companion
    suits_head = not _of_trained_networks(settings) and settings.pretext in (None, "rotation") and not companion
    return settings.tuning == "full" or suits_head


def leaves_features_open(settings: ProjectSettings, task: str) -> bool:
    """Whether heads may be trained on the features of an encoder that is still to be chosen."""
    return task != TaskName.SEGMENTATION and leaves_encoder_open(settings, task)


def without_effect(settings: ProjectSettings, task: str) -> str:
    """Says which settings change nothing, as they are of networks that are trained; "" if there is none."""
    names = _of_trained_networks(settings) if on_features(settings, task) else []
    if not names:
        return ""
    return (
        f"{', '.join(names)}: without effect, as the encoder {settings.frozen_encoder} stays as it is. To train it, set tuning "
        "to full; to train a small network instead, set encoder to resnet18."
    )


def _of_trained_networks(settings: ProjectSettings) -> list[str]:
    """Names of the settings that are set, and speak of a network that is trained."""
    fields = ProjectSettings.model_fields
    return [name for name in OF_TRAINED_NETWORKS if getattr(settings, name) != fields[name].default]


def _require_encoder(settings: ProjectSettings, task: str, where: str) -> None:
    """Refuses what cannot be done without a pretrained encoder, or on a frozen one."""
    if settings.tuning == "head" and not settings.pretrained_encoder:
        what = "Setting 'tuning': 'head' trains what is on a pretrained encoder; 'encoder' names none of timm's."
        raise ConfigError(what, f"Set encoder to a name that `pt4al weights list` prints, or leave tuning at auto. {where}")
    if not on_features(settings, task):
        return
    if strategy_of(settings, settings.batches or settings.rounds).companion:
        key = "sampler" if settings.strategy == "pt4al" else "strategy"
        raise ConfigError(
            f"Setting {key!r}: {getattr(settings, key)!r} trains a network beside the model, as a frozen encoder cannot.",
            f"Choose another, or set 'tuning' to 'full'. {where}",
        )
    if settings.pretext not in (None, "rotation"):
        encoder, pretext = settings.frozen_encoder, settings.pretext
        what = f"Setting 'pretext': on the frozen encoder {encoder!r} there is rotation alone, not {pretext!r}."
        raise ConfigError(what, f"Leave 'pretext' empty, or set 'tuning' to 'full'. {where}")


def rows_of(scored: Ids, tasks: Ids) -> NDArray[np.int64]:
    """Where tasks int64[n] are among those that a model scored, int64[n]; -1 where they are not."""
    row_of = {task_id: row for row, task_id in enumerate(scored.tolist())}
    return np.array([row_of.get(task_id, -1) for task_id in tasks.tolist()], np.int64)


@dataclass(frozen=True, eq=False)
class StoredOutput:
    """What a model gave for tasks, as a job stores it. The pretext learner gives features alone, and learned from no label.

    Attributes:
        ids: int64[m], of the tasks that it scored.
        confidences: float64[m] each, by sampler, companion or need.
        labels: str[m], the predicted labels, "" for none.
        features: float16[m, d], and ``labelled`` float16[l, d] those of the images that trained the model; None if the strategy
            does not need them.
        posteriors: float16[m, C], likewise.
    """

    ids: Ids = field(default_factory=lambda: np.empty(0, np.int64))
    confidences: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    labels: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, np.str_))
    features: NDArray[np.floating] | None = None
    labelled: NDArray[np.floating] | None = None
    posteriors: NDArray[np.floating] | None = None

    @property
    def shown(self) -> NDArray[np.float64] | None:
        """How sure the model is of each task, as people see it, float64[m]; None if there is none."""
        return self.confidences.get(CALIBRATED, self.confidences.get("least_confidence"))

    def of(self, pool: Ids) -> tuple[ModelOutput, Ids]:
        """The output for the tasks of a pool int64[n], and their rows int64[k] here.

        Candidates that have left the pool since have been queried, so they count as labelled.
        """
        _, positions, rows = np.intersect1d(pool, self.ids, assume_unique=True, return_indices=True)
        output = ModelOutput(positions, {name: values[rows] for name, values in self.confidences.items()})
        if self.features is not None:
            labelled = self.features[:0]
            if self.labelled is not None:
                labelled = np.concatenate([self.labelled, np.delete(self.features, rows, axis=0)])
            output = replace(output, features=self.features[rows].astype(np.float32), labelled=labelled.astype(np.float32))
        if self.posteriors is not None:
            output = replace(output, posteriors=self.posteriors[rows].astype(np.float32))
        return output, rows

    def suffices(self, strategy: Strategy) -> bool:
        """Whether there is output, and all that a strategy needs of it.

        The pretext learner's has no confidences; of it features are enough.
        """
        if not self.confidences and "pretext_features" in strategy.needs:
            return len(self.ids) > 0 and self.features is not None
        held = {"features": self.features, "posteriors": self.posteriors}
        wanted = ({strategy.companion} - {""}) | (strategy.needs & {"drop_consistency"})
        if not wanted <= self.confidences.keys():
            return False
        return len(self.ids) > 0 and all(held[need] is not None for need in strategy.needs & held.keys())


@dataclass(frozen=True, eq=False)
class Choice:
    """A strategy's picks, best first.

    Attributes:
        ids: int64[k].
        scores: float64[k] in [0, 1], the strategy's.
        rows: int64[k], of ``StoredOutput``; -1 where the model did not score the task.
    """

    ids: Ids
    scores: NDArray[np.float64]
    rows: Ids


def choose(strategy: Strategy, request: Request, stored: StoredOutput) -> Choice:
    """Picks ``request.k`` tasks, best first; ``request.output`` is made from ``stored``, less the tasks that left the pool.

    If the scored tasks do not suffice, the strategy continues without a model over those that are not scored. It does so over all
    if the model was trained for another strategy, and did not give what this one needs.
    """
    pool = request.pool
    if not stored.suffices(strategy):
        query = strategy.query(request)
        return Choice(pool.ids[query.positions], query.scores, np.full(len(query.positions), -1, np.int64))
    output, rows = stored.of(pool.ids)
    query = strategy.query(replace(request, output=output))
    row_of = np.full(len(pool.ids), -1, np.int64)
    row_of[output.positions] = rows
    first = Choice(pool.ids[query.positions], query.scores, row_of[query.positions])
    missing = request.k - len(first.ids)
    rest = np.setdiff1d(np.arange(len(pool.ids)), np.concatenate([query.positions, output.positions]))
    if missing <= 0 or not len(rest):
        return first
    size = max(request.query_size - len(first.ids), 0)
    more = choose(strategy, replace(request, pool=pool.take(rest), query_size=size, k=missing), StoredOutput())
    after = np.ones(len(more.ids))  # behind what the model was unsure of
    return Choice(
        np.concatenate([first.ids, more.ids]),
        np.concatenate([first.scores, after]),
        np.concatenate([first.rows, more.rows]),
    )


@dataclass(frozen=True, eq=False)
class Picks:
    """A round's picks in the order in which they are served.

    Attributes:
        ids: int64[n].
        kinds: of each.
        scores: float64[n] in [0, 1], strictly ascending, as Label Studio serves the lowest first.
        rows: int64[n], of ``StoredOutput`` or -1.
    """

    ids: Ids
    kinds: list[PickKind]
    scores: NDArray[np.float64]
    rows: Ids


def arrange(choice: Choice, query: int, controls: Ids) -> Picks:
    """Mixes ``controls`` int64[c] evenly into the first ``query`` picks of ``choice``; what follows is the reserve.

    A control pick takes the score of the pick behind it, so its place tells an annotator nothing.
    """
    n = min(query, len(choice.ids))
    is_control = np.concatenate([interleave(n, len(controls)), np.zeros(len(choice.ids) - n, np.bool_)])
    ids = np.empty(len(is_control), np.int64)
    ids[is_control], ids[~is_control] = controls, choice.ids
    rows = np.full(len(ids), -1, np.int64)
    rows[~is_control] = choice.rows
    scores = np.ones(len(ids))
    scores[~is_control] = choice.scores
    for place in np.flatnonzero(is_control)[::-1]:
        scores[place] = scores[place + 1] if place + 1 < len(scores) else 1.0
    kinds = [PickKind.CONTROL if control else PickKind.QUERY for control in is_control[: n + len(controls)]]
    kinds += [PickKind.RESERVE] * (len(ids) - len(kinds))
    return Picks(ids, kinds, queue_scores(np.minimum(scores, 1.0 - ROOM)), rows)


def scores_after(last: float, count: int) -> NDArray[np.float64]:
    """Ascending scores float64[count] above ``last``, the score at the end of the queue so far.

    They take half of the room up to 1, so that a queue can be lengthened some thirty times before scores get too near.
    """
    return last + (1.0 - last) / 2 * np.arange(1, count + 1) / max(count, 1)
