"""The plan of a round: how many tasks it asks for, which ones, and in which order they are served.

Pure: arrays in, arrays out. The live engine and the benchmark plan their rounds here; they differ in who answers.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.config import EXTRA_PARAMS, ProjectSettings
from pt4al_backend.config.catalog import MAIN_TASK_FACTS, STRATEGIES
from pt4al_backend.errors import ConfigError
from pt4al_backend.query.draws import interleave, lowest, queue_scores, uniform_order
from pt4al_backend.query.ranking import rank, shrink, split
from pt4al_backend.query.strategies import ModelOutput, Need, Request, Strategy

Ids = NDArray[np.int64]

QUERY_SHARE = 0.02  # of the pool: the paper's 1,000 of 50,000
SMALLEST_QUERY = 20
ROOM = 0.01  # of the scores' range, kept free for picks that are added behind the line


@dataclass(frozen=True)
class Schedule:
    """Sizes that a pool of this size gets. ``query`` counts the control picks among it.

    ``too_few`` says which sizes were asked for and do not fit; empty if they do.
    """

    rounds: int
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


def schedule(pool: int, settings: ProjectSettings) -> Schedule:
    """Fits the settings to a pool of ``pool`` usable tasks."""
    asked = settings.query_size or max(SMALLEST_QUERY, round(QUERY_SHARE * pool))
    rounds, query = shrink(pool, settings.rounds, asked)
    fits = not pool or (rounds, query) == (settings.rounds, asked)
    too_few = "" if fits else f"{pool} usable images are too few for {settings.rounds} rounds of {asked}"
    control = math.ceil(settings.control_share * query) if query > 1 else 0
    reserve = query if settings.reserve_size is None else settings.reserve_size
    return Schedule(rounds, query, control, reserve, too_few)


def strategy_of(settings: ProjectSettings, rounds: int) -> Strategy:
    """The strategy that the settings name."""
    return STRATEGIES.load(settings.strategy, Strategy)(
        rounds=rounds,
        first_query=settings.first_query,
        sampler=settings.sampler,
        batch_order=settings.batch_order,
        seed=settings.seed,
    )


def needs_of(settings: ProjectSettings) -> frozenset[Need]:
    """What the strategy that the settings name needs beside confidences."""
    return strategy_of(settings, settings.rounds).needs


def job_requirements(settings: ProjectSettings, query: int) -> dict[str, Any]:
    """What a training job is asked for on behalf of the strategy of its settings, whose next query has ``query`` tasks."""
    strategy = strategy_of(settings, settings.rounds)
    return {"wants": sorted(strategy.needs - {"pretext_features"}), "companion": strategy.companion, "asks": query}


def require_fit(settings: ProjectSettings, task: str, where: str = EXTRA_PARAMS) -> None:
    """Refuses a strategy that needs what models of a main task do not say; ``where`` says where the user changes it.

    Raises:
        ConfigError: such a strategy.
    """
    if "posteriors" in needs_of(settings) and not MAIN_TASK_FACTS[task].image_posteriors:
        key, other = ("sampler", "margin") if settings.strategy == "pt4al" else ("strategy", "core_set")
        raise ConfigError(
            f"Setting {key!r}: {getattr(settings, key)!r} needs a posterior of each class for images; {task} has them of pixels.",
            f"{other!r} does not. {where}",
        )


def cut(ids: Ids, losses: NDArray[np.float64], rounds: int, seed: int) -> Ids:
    """Cuts a pool into batches: the batch number 1..``rounds`` of each task.

    By pretext loss, hardest first (PT4AL, section 4.2). Without losses (all NaN: the pretext means nothing here) the
    batches are slices of a uniform order, which is the safer order: each then looks like the pool.
    """
    batches = np.zeros(len(ids), np.int64)
    known = bool(np.isfinite(losses).all())
    order = rank(losses, ids) if known else lowest(uniform_order(ids, seed), ids, len(ids))
    batches[order] = split(len(ids), rounds)
    return batches


def draw_controls(free: Ids, count: int, seed: int) -> Ids:
    """The next ``count`` control picks: a draw from the pool without replacement that no model had a say in.

    ``free`` are the tasks that nobody answered. All draws of a project go along one random order of the task ids.
    """
    return free[lowest(uniform_order(free, seed), free, count)]


def held_back(free: Ids, plan: Schedule, round_number: int, seed: int) -> Ids:
    """Tasks kept for the control picks of this and the sweep's later rounds.

    A query must not take them: it prefers tasks of some kinds, so what it leaves would no longer look like the pool,
    and the control picks would measure the model with bias.
    """
    rounds_left = plan.rounds - (round_number - 1) % plan.rounds
    return draw_controls(free, plan.control * rounds_left, seed)


@dataclass(frozen=True, eq=False)
class StoredOutput:
    """What a model said of tasks: ids int64[m]; confidences float64[m] by sampler or companion; labels [m], "" for none.

    What the strategy ``needs``, as ``ModelOutput`` has it but float16 as it is kept: features [m, d], labelled [l, d] of the
    images that trained the model, posteriors [m, C]. The pretext learner says features alone, and learned from no label.
    """

    ids: Ids = field(default_factory=lambda: np.empty(0, np.int64))
    confidences: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    labels: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, np.str_))
    features: NDArray[np.floating] | None = None
    labelled: NDArray[np.floating] | None = None
    posteriors: NDArray[np.floating] | None = None

    def of(self, pool: Ids) -> tuple[ModelOutput, Ids]:
        """What was said of the tasks of a pool, and their rows here.

        Candidates that have left the pool since have been asked, so they count as labelled.
        """
        _, positions, rows = np.intersect1d(pool, self.ids, assume_unique=True, return_indices=True)
        said = ModelOutput(positions, {name: values[rows] for name, values in self.confidences.items()})
        if self.features is not None:
            labelled = self.features[:0]
            if self.labelled is not None:
                labelled = np.concatenate([self.labelled, np.delete(self.features, rows, axis=0)])
            said = replace(said, features=self.features[rows].astype(np.float32), labelled=labelled.astype(np.float32))
        if self.posteriors is not None:
            said = replace(said, posteriors=self.posteriors[rows].astype(np.float32))
        return said, rows

    def suffices(self, strategy: Strategy) -> bool:
        """Whether a model said something, and all that a strategy needs of it."""
        held = {"features": self.features, "posteriors": self.posteriors}
        if strategy.companion and strategy.companion not in self.confidences:
            return False
        return len(self.ids) > 0 and all(held[need] is not None for need in strategy.needs & held.keys())


@dataclass(frozen=True, eq=False)
class Choice:
    """Tasks in the order to ask them, with the strategy's scores and, where the model scored one, its row of ``StoredOutput``."""

    ids: Ids
    scores: NDArray[np.float64]
    rows: Ids  # -1: not scored


def choose(strategy: Strategy, asked: Request, scored: StoredOutput) -> Choice:
    """Picks ``asked.k`` tasks, best first; ``asked.said`` is made from ``scored``, less the tasks that left the pool.

    If the scored tasks do not suffice, the strategy goes on without a model over those that are not. So it does over all
    if the model was trained for another strategy, and did not say what this one needs.
    """
    pool = asked.pool
    if not scored.suffices(strategy):
        found = strategy.query(asked)
        return Choice(pool.ids[found.positions], found.scores, np.full(len(found.positions), -1, np.int64))
    said, rows = scored.of(pool.ids)
    found = strategy.query(replace(asked, said=said))
    row_of = np.full(len(pool.ids), -1, np.int64)
    row_of[said.positions] = rows
    first = Choice(pool.ids[found.positions], found.scores, row_of[found.positions])
    missing = asked.k - len(first.ids)
    rest = np.setdiff1d(np.arange(len(pool.ids)), np.concatenate([found.positions, said.positions]))
    if missing <= 0 or not len(rest):
        return first
    size = max(asked.query_size - len(first.ids), 0)
    more = choose(strategy, replace(asked, pool=pool.take(rest), query_size=size, k=missing), StoredOutput())
    after = np.ones(len(more.ids))  # behind what the model was unsure of
    return Choice(
        np.concatenate([first.ids, more.ids]),
        np.concatenate([first.scores, after]),
        np.concatenate([first.rows, more.rows]),
    )


@dataclass(frozen=True, eq=False)
class Line:
    """A round's picks as they are served: ids, kinds, scores that ascend, rows of ``StoredOutput`` or -1."""

    ids: Ids
    kinds: list[str]
    scores: NDArray[np.float64]
    rows: Ids


def line_up(choice: Choice, query: int, controls: Ids) -> Line:
    """Mixes ``controls`` evenly into the first ``query`` picks of ``choice``; what follows is the reserve.

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
    kinds = ["control" if control else "query" for control in is_control[: n + len(controls)]]
    kinds += ["reserve"] * (len(ids) - len(kinds))
    return Line(ids, kinds, queue_scores(np.minimum(scores, 1.0 - ROOM)), rows)


def behind(last: float, count: int) -> NDArray[np.float64]:
    """``count`` ascending scores above ``last``, the score of the queue's end so far.

    They take half of the room up to 1, so that a queue can be lengthened some thirty times before scores get too near.
    """
    return last + (1.0 - last) / 2 * np.arange(1, count + 1) / max(count, 1)
