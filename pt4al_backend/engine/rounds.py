"""Rounds: the picks of the open round, from the first control picks to the last reserve."""

import logging
import time
from collections.abc import Callable
from typing import Self

import numpy as np

from pt4al_backend.aliases import Ids
from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.engine import served_model
from pt4al_backend.engine.context import Context, Outcome
from pt4al_backend.engine.queue_order import led_by, mixed_with
from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.jobs.results import Candidates, read_learner, read_scored
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.query.control_picks import draw_controls, held_back
from pt4al_backend.query.plan import (
    Choice,
    Picks,
    Schedule,
    StoredOutput,
    arrange,
    choose,
    fit_schedule,
    needs_of,
    rows_of,
    scores_after,
    strategy_of,
)
from pt4al_backend.query.ranking import cut_batches, sweep
from pt4al_backend.query.strategies import Pool, Request
from pt4al_backend.state.rounds import ClosedRound
from pt4al_backend.state.schema import Pick, Project, Round, RoundState
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import Tasks

log = logging.getLogger(__name__)


#: What a round waits for; its reserve, and what people chose, is answered on top.
QUERY = (PickKind.QUERY, PickKind.CONTROL)

#: Label Studio says "no more tasks" when all that is left of a queue is in other annotators' hands: one for each of many.
LEAST_LEFT = 20


class Rounds:
    """Opens, fills and lengthens the rounds of one project."""

    def __init__(
        self,
        store: Store,
        project: Project,
        options: ProjectSettings,
        *,
        answers: Callable[[], Candidates | None] = lambda: None,
    ) -> None:
        self._store = store
        self._project = project
        self._options = options
        self._answers = answers  # of the model that is served, if it is not the round's

    @classmethod
    def of(cls, ctx: Context) -> Self:
        """The rounds of the project that a look is at."""
        return cls(ctx.store, ctx.project, ctx.options, answers=lambda: served_model.answers(ctx.settings.data_dir, ctx.project))

    # what there is

    def pool(self) -> Tasks:
        """Tasks whose image is not set aside."""
        tasks = self._store.tasks(self._project.id)
        return tasks.where(~tasks.aside)

    def schedule(self) -> Schedule:
        """Sizes for the pool, as the settings say, or as far as it goes; identical images count once."""
        images = self._store.pool_count(self._project.id) - self._store.copy_count(self._project.id)
        return fit_schedule(images, self._options)

    def is_answered(self) -> bool:
        """Whether the open round has a query and all of it is answered. Tasks that are gone or set aside count as done."""
        current = self._store.round(self._project.id, self._project.round)
        if current is None or current.state != RoundState.OPEN or not self._has_query(current.number):
            return False
        return not self._store.unanswered_picks(self._project.id, current.number, *QUERY, at_most=1)

    def is_closed_early(self) -> bool:
        """Whether a person closes the open round, whatever it waits for."""
        return 0 < self._project.round == self._project.round_to_close and self._is_open()

    def _is_open(self) -> bool:
        current = self._store.round(self._project.id, self._project.round)
        return current is not None and current.state == RoundState.OPEN

    def waits_for_people(self) -> bool:
        """Whether a pick of the open round has no answer, or an image of the pool has none in any of its tasks."""
        project = self._project
        return bool(self._store.unanswered_picks(project.id, project.round, at_most=1)) or self._store.has_unanswered(project.id)

    def _has_query(self, number: int) -> bool:
        return self._store.has_picks(self._project.id, number, *QUERY)

    # opening

    def start(self) -> None:
        """Opens round 1 at once with its control picks and a uniform reserve, while the pretext learner still trains."""
        if self._project.round or not self._store.has_pool(self._project.id):
            return
        pool, schedule = self.pool(), self.schedule()
        controls, free = self._controls(pool, schedule, 1)
        reserve = draw_controls(free, schedule.reserve, self._options.seed + 1)
        places = np.arange(len(reserve)) / max(len(reserve), 1)
        line = arrange(Choice(reserve, places, np.full(len(reserve), -1, np.int64)), 0, controls)
        self._store_round(1, RoundState.STARTING, line, StoredOutput(), schedule)

    def drop_copies(self) -> bool:
        """Takes back picks of a round that is starting, now that its images are known to repeat others; True if there are any."""
        project = self._project
        current = self._store.round(project.id, project.round)
        if current is None or current.state != RoundState.STARTING or not self._store.copy_count(project.id):
            return False
        pool = self.pool()
        picks = sorted(self._store.picks(project.id, current.number), key=lambda pick: pick.kind != PickKind.CONTROL)
        picks = [pick for pick in picks if pick.kind != PickKind.PERSON]  # people may want them all the same
        waiting = np.array([pick.task_id for pick in picks], np.int64)
        waiting = waiting[np.isin(waiting, pool.ids[~pool.answered])]
        answered = pool.same_as(pool.ids[pool.answered])
        dropped = np.setdiff1d(waiting, pool.one_of_each(waiting[~np.isin(waiting, answered)]))
        self._store.drop_picks(project.id, current.number, dropped.tolist())
        return bool(len(dropped))

    def open_first(self, scored: Callable[[], StoredOutput]) -> None:
        """Gives a round that is starting its query, now that the pool is ranked; ``scored`` is what is known of it so far.

        A round without a query, because the pool was exhausted or its query deleted, gets one as well.
        """
        current = self._store.round(self._project.id, self._project.round)
        if current is None:
            return
        if current.state == RoundState.STARTING:
            picks = self._store.picks(self._project.id, current.number)
            controls = np.array([pick.task_id for pick in picks if pick.kind == PickKind.CONTROL], np.int64)
            self._open(current.number, scored(), controls)
        elif not self._has_query(current.number) and self._store.has_unanswered(self._project.id):
            self._open(current.number, scored(), np.empty(0, np.int64))

    def open_next(self, scored: StoredOutput, closed: ClosedRound) -> None:
        """Closes the open round and opens the next on what the new model scored."""
        self._open(self._project.round + 1, scored, np.empty(0, np.int64), closed)

    def _open(self, number: int, scored: StoredOutput, served: Ids, closed: ClosedRound | None = None) -> None:
        """Opens a round; ``served`` are control picks that it has already, of which some may be set aside since."""
        pool, schedule = self.pool(), self.schedule()
        drawn, free = self._controls(pool, schedule, number)
        kept = pool.one_of_each(served)
        controls = np.concatenate([kept, drawn[~np.isin(drawn, pool.same_as(kept))]])[: max(schedule.control, len(kept))]
        free = np.setdiff1d(free, pool.same_as(np.concatenate([controls, self._store.choices(self._project.id)])))
        size = max(schedule.query - len(controls), 0)
        choice = self._choose(pool, free, number, size, size + schedule.reserve, scored, schedule)
        self._store_round(number, RoundState.OPEN, arrange(choice, size, controls), scored, schedule, closed)

    def _controls(self, pool: Tasks, schedule: Schedule, number: int) -> tuple[Ids, Ids]:
        """This round's control picks, and the tasks that a query may take."""
        held = self._held(pool, schedule, number)
        return held[: schedule.control], np.setdiff1d(pool.ids[pool.unknown], held)

    def _held(self, pool: Tasks, schedule: Schedule, number: int) -> Ids:
        """Tasks that are left to control picks, of this round and later ones: a query, or people, would choose what measures it.

        Those that an earlier round has drawn and nobody answered come first.
        """
        waiting, seed = pool.ids[pool.unknown], self._options.seed
        drawn = np.intersect1d(waiting, self._store.control_ids(self._project.id))
        held = held_back(waiting, schedule, number, seed)
        held = held[: int(np.ceil(self._options.control_share * len(waiting)))]  # never more than their share of what is left
        return np.concatenate([draw_controls(drawn, len(drawn), seed), held[~np.isin(held, drawn)]])

    def _choose(
        self, pool: Tasks, free: Ids, number: int, query: int, count: int, scored: StoredOutput, schedule: Schedule
    ) -> Choice:
        chosen = pool.where(np.isin(pool.ids, free))
        losses = chosen.losses
        if not self._project.quality.meaningful:
            losses = np.full(len(chosen), np.nan)  # the stated safer order
        elif np.isfinite(losses).any():
            chosen = chosen.where(np.isfinite(losses))  # what is not scored yet waits for the next round
            losses = chosen.losses
        rng = np.random.default_rng([self._options.seed, number])
        strategy = strategy_of(self._options, schedule.batches)
        request = Request(Pool(chosen.ids, losses, chosen.batches), number, query, count, rng)
        return choose(strategy, request, scored)

    def _store_round(
        self,
        number: int,
        state: RoundState,
        line: Picks,
        scored: StoredOutput,
        schedule: Schedule,
        closed: ClosedRound | None = None,
    ) -> None:
        current = self._store.round(self._project.id, number)
        opened = Round(
            project_id=self._project.id,
            number=number,
            state=state,
            batch=int(sweep(schedule.batches, self._options.batch_order)[(number - 1) % schedule.batches]),
            opened_at=current.opened_at if current else time.time(),
        )
        picks = self._led_by_choices(number, self._picks(number, 0, line, scored), scored)
        self._store.open_round(self._project, opened, picks, closed=closed)

    def _picks(self, number: int, start: int, line: Picks, scored: StoredOutput) -> list[Pick]:
        picks = []
        said = self._said(line, scored)
        for place, (task_id, kind, score, (label, confidence)) in enumerate(
            zip(line.ids, line.kinds, line.scores, said, strict=True), start
        ):
            picks.append(
                Pick(
                    project_id=self._project.id,
                    round=number,
                    task_id=int(task_id),
                    position=place,
                    kind=kind,
                    score=float(score),
                    label=label,
                    confidence=confidence,
                )
            )
        return picks

    def _said(self, line: Picks, scored: StoredOutput) -> list[tuple[str, float | None]]:
        """What the model that is served says of each pick, and how sure it is; "" of control picks, and where it says nothing."""
        other = self._answers()
        rows = np.where(
            [kind == PickKind.CONTROL for kind in line.kinds], -1, rows_of(other.ids, line.ids) if other else line.rows
        )
        labels, confidences = (other.labels, other.confidences) if other else (scored.labels, scored.shown)
        return [
            ("", None) if row < 0 else (str(labels[row]), None if confidences is None else float(confidences[row]))
            for row in rows.tolist()
        ]

    def answer_again(self, scored: StoredOutput) -> None:
        """Gives the open round's picks, in their order, the answers of the model that is served now."""
        picks = self._store.picks(self._project.id, self._project.round)
        ids = np.array([pick.task_id for pick in picks], np.int64)
        scores = np.array([pick.score for pick in picks])
        line = Picks(ids, [pick.kind for pick in picks], scores, rows_of(scored.ids, ids))
        self._store.replace_picks(self._project.id, self._project.round, self._picks(self._project.round, 0, line, scored))

    # what people want

    def serve_choices(self, scored: StoredOutput) -> None:
        """Puts the tasks that people want labelled next in front of the open round's picks, and leaves out withdrawn choices."""
        number, project_id = self._project.round, self._project.id
        if not number:
            return
        chosen, picks = set(self._store.choices(project_id).tolist()), self._store.picks(project_id, number)
        theirs = [pick.task_id for pick in picks if pick.kind == PickKind.PERSON and pick.task_id not in chosen]
        withdrawn = set(theirs) - set(self._store.answers(project_id, theirs))
        if chosen or withdrawn:
            kept = [pick for pick in picks if pick.task_id not in withdrawn]
            self._store.replace_picks(project_id, number, self._led_by_choices(number, kept, scored))

    def _led_by_choices(self, number: int, picks: list[Pick], scored: StoredOutput) -> list[Pick]:
        chosen = self._store.choices(self._project.id)
        if not len(chosen):
            return picks
        measuring = np.isin(chosen, self._held(self.pool(), self.schedule(), number))
        kinds = [PickKind.CONTROL if is_held else PickKind.PERSON for is_held in measuring]
        line = Picks(chosen, kinds, np.zeros(len(chosen)), rows_of(scored.ids, chosen))
        return led_by(self._picks(number, 0, line, scored), picks)

    def add_controls(self) -> None:
        """Adds the control picks that people want the open round to have beyond those that it has, as far as there are tasks.

        They are drawn from all that nobody has answered, whatever the strategy and people make of it: what these leave over would
        no longer look like the pool. The more of it they have taken before, the less the draw can look like it.
        """
        project = self._project
        current = self._store.round(project.id, project.round)
        if current is None or current.state != RoundState.OPEN or not current.controls_wanted:
            return
        picks = self._store.picks(project.id, current.number)
        there = np.array([pick.task_id for pick in picks if pick.kind == PickKind.CONTROL], np.int64)
        missing = current.controls_wanted - len(there)
        if missing > 0:
            pool = self.pool()
            drawn = draw_controls(np.setdiff1d(pool.ids[pool.unknown], pool.same_as(there)), missing, self._options.seed)
            line = Picks(drawn, [PickKind.CONTROL] * len(drawn), np.zeros(len(drawn)), np.full(len(drawn), -1, np.int64))
            controls = self._picks(current.number, 0, line, StoredOutput())
            answered = set(pool.ids[pool.answered].tolist())
            self._store.replace_picks(project.id, current.number, mixed_with(controls, picks, answered))
        self._store.have_controls(project.id, current.number, current.controls_wanted)

    # between rounds

    def cut_batches(self, number: int) -> None:
        """Cuts the pool into batches before round ``number``, if a sweep begins with it or the batches do not fit any more."""
        ids, batches = self.batches(self.pool(), number, meaningful=self._project.quality.meaningful)
        self._store.set_tasks(self._project.id, {"id": ids, "batch": batches})

    def batches(self, pool: Tasks, number: int, *, meaningful: bool, from_scratch: bool = False) -> tuple[Ids, Ids]:
        """The batches to be cut before round ``number``: ids of tasks and the batch 1..I of each; both empty if none are.

        At the start of a sweep they are cut over what is left of the pool, ``from_scratch`` always. By pretext loss if that is
        ``meaningful``, over the tasks that have one. Of identical images one is in a batch.
        """
        schedule = self.schedule()
        starts_sweep = (number - 1) % schedule.batches == 0
        chosen = pool.where(pool.unknown if starts_sweep else pool.distinct)
        if meaningful:
            chosen = chosen.where(np.isfinite(chosen.losses))
        stale = len(chosen) and (chosen.batches.min() == 0 or chosen.batches.max() != schedule.batches)
        if not len(chosen) or not (from_scratch or starts_sweep or stale):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        losses = chosen.losses if meaningful else np.full(len(chosen), np.nan)
        return chosen.ids, cut_batches(chosen.ids, losses, schedule.batches, self._options.seed)

    def candidates(self, number: int) -> Ids:
        """Tasks that the model must score before round ``number`` can be opened."""
        pool, schedule = self.pool(), self.schedule()
        _, free = self._controls(pool, schedule, number)
        chosen = pool.where(np.isin(pool.ids, free) & (pool.rows >= 0))
        strategy = strategy_of(self._options, schedule.batches)
        # twice the reserve: the stream is lengthened from what is scored while the next model trains
        open_pool = Pool(chosen.ids, chosen.losses, chosen.batches)
        positions = strategy.candidates(open_pool, number, schedule.query + 2 * schedule.reserve)
        return chosen.ids[positions]

    def lengthen(self, scored: Callable[[], StoredOutput]) -> bool:
        """Adds to the reserve when little of it is left, so that nobody waits for a model; True if it did.

        Little is less than half, and in a small reserve less than ``LEAST_LEFT``.
        """
        number, schedule = self._project.round, self.schedule()
        little = max(schedule.reserve // 2, min(schedule.reserve, LEAST_LEFT))
        if not number or self._store.unanswered_picks(self._project.id, number, at_most=little) >= little:
            return False
        pool = self.pool()
        picks = self._store.picks(self._project.id, number)
        _, free = self._controls(pool, schedule, number)
        free = np.setdiff1d(free, pool.same_as(np.array([pick.task_id for pick in picks], np.int64)))
        current = self._store.round(self._project.id, number)
        if not len(free) or current is None:
            return False
        output = StoredOutput()
        if current.state == RoundState.STARTING:
            ids = draw_controls(free, schedule.reserve, self._options.seed + 1)
            choice = Choice(ids, np.ones(len(ids)), np.full(len(ids), -1, np.int64))
        else:
            output = scored()
            choice = self._choose(pool, free, number, 0, schedule.reserve, output, schedule)
        line = arrange(choice, 0, np.empty(0, np.int64))
        line = Picks(line.ids, line.kinds, scores_after(picks[-1].score if picks else 0.0, len(line.ids)), line.rows)
        self._store.add_picks(self._picks(number, len(picks), line, output))
        return bool(len(line.ids))


def last_output(settings: ServerSettings, project: Project, options: ProjectSettings) -> StoredOutput:
    """What the last good model of a round scored, or else the pretext learner for a strategy that starts with it.

    Nothing if there is none, or its files are gone or damaged.
    """
    result, read = settings.data_dir / project.model, read_scored
    if not project.model:
        if not project.learner or "pretext_features" not in needs_of(options):
            return StoredOutput()
        result, read = settings.data_dir / project.learner, read_learner
    try:
        return read(result.parent)
    except StoreCorrupt as error:
        log.warning("Project %s: the queue follows the ranking alone. %s", project.id, error)
        return StoredOutput()


def start(ctx: Context) -> Outcome:
    """Opens round 1, and says what the pool is too small for."""
    rounds = Rounds.of(ctx)
    ctx.notice("schedule", rounds.schedule().notice)
    rounds.start()
    return Outcome.DONE


def open_first(ctx: Context) -> Outcome:
    """Gives a round its query that has none yet."""
    Rounds.of(ctx).open_first(lambda: last_output(ctx.settings, ctx.project, ctx.options))
    return Outcome.DONE
