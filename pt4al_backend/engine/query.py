"""Step 4 of the engine: which tasks the open round asks for, from the first control picks to the last reserve."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.config import ProjectSettings
from pt4al_backend.query.plan import (
    Choice,
    Picks,
    Schedule,
    StoredOutput,
    arrange,
    choose,
    cut,
    draw_controls,
    held_back,
    schedule,
    scores_after,
    strategy_of,
)
from pt4al_backend.query.ranking import sweep
from pt4al_backend.query.strategies import Pool, Request
from pt4al_backend.state.schema import Pick, Project, Round
from pt4al_backend.state.store import Store, Tasks

Ids = NDArray[np.int64]

#: Label Studio says "no more tasks" when all that is left of a queue is in other annotators' hands: one for each of many.
LEAST_LEFT = 20


class Querying:
    """Opens, fills and lengthens the rounds of one project."""

    def __init__(self, store: Store, project: Project, options: ProjectSettings) -> None:
        self._store = store
        self._project = project
        self._options = options

    # what there is

    def pool(self) -> Tasks:
        """Tasks whose image is not set aside."""
        tasks = self._store.tasks(self._project.id)
        return tasks.where(~tasks.aside)

    def schedule(self, pool: Tasks) -> Schedule:
        """Sizes for a pool, as the settings ask or as far as it goes."""
        return schedule(len(pool), self._options)

    def unanswered(self) -> tuple[int, int]:
        """(asked and still open, of the reserve and still open) of this round; tasks that are gone or set aside count as done."""
        return self._unanswered(self.pool())

    def _unanswered(self, pool: Tasks) -> tuple[int, int]:
        waiting = set(pool.ids[~pool.answered].tolist())
        picks = [pick for pick in self._store.picks(self._project.id, self._project.round) if pick.task_id in waiting]
        reserve = sum(pick.kind == "reserve" for pick in picks)
        return len(picks) - reserve, reserve

    def is_answered(self) -> bool:
        """Whether the open round asked for something and all of it is answered."""
        current = self._store.round(self._project.id, self._project.round)
        if current is None or current.state != "open":
            return False
        asked = any(pick.kind != "reserve" for pick in self._store.picks(self._project.id, current.number))
        return asked and self.unanswered()[0] == 0

    # opening

    def start(self) -> None:
        """Opens round 1 at once with its control picks and a uniform reserve, while the pretext learner still trains."""
        pool = self.pool()
        if self._project.round or not len(pool):
            return
        plan = self.schedule(pool)
        controls, free = self._controls(pool, plan, 1)
        reserve = draw_controls(free, plan.reserve, self._options.seed + 1)
        places = np.arange(len(reserve)) / max(len(reserve), 1)
        line = arrange(Choice(reserve, places, np.full(len(reserve), -1, np.int64)), 0, controls)
        self._turn(1, "starting", line, StoredOutput(), plan)

    def open_first(self, scored: Callable[[], StoredOutput]) -> None:
        """Gives a round that is starting its query, now that the pool is ranked; ``scored`` is what is known of it so far.

        A round that asks for nothing, because the pool was exhausted or its query deleted, gets one as well.
        """
        current = self._store.round(self._project.id, self._project.round)
        if current is None:
            return
        picks = self._store.picks(self._project.id, current.number)
        if current.state == "starting":
            controls = np.array([pick.task_id for pick in picks if pick.kind == "control"], np.int64)
            self._open(current.number, scored(), controls)
        elif current.state == "open" and all(pick.kind == "reserve" for pick in picks) and not self.pool().answered.all():
            self._open(current.number, scored(), np.empty(0, np.int64))

    def open_next(self, scored: StoredOutput, closed: dict[str, Any]) -> None:
        """Closes the open round, ``closed`` being columns of it, and opens the next on what the new model scored."""
        self._open(self._project.round + 1, scored, np.empty(0, np.int64), closed)

    def _open(self, number: int, scored: StoredOutput, served: Ids, closed: dict[str, Any] | None = None) -> None:
        """Opens a round; ``served`` are control picks that it has already, of which some may be set aside since."""
        pool = self.pool()
        plan = self.schedule(pool)
        drawn, free = self._controls(pool, plan, number)
        kept = served[np.isin(served, pool.ids)]
        controls = np.concatenate([kept, drawn[~np.isin(drawn, kept)]])[: max(plan.control, len(kept))]
        free = np.setdiff1d(free, controls)
        size = max(plan.query - len(controls), 0)
        choice = self._choose(pool, free, number, size, size + plan.reserve, scored, plan)
        self._turn(number, "open", arrange(choice, size, controls), scored, plan, closed)

    def _controls(self, pool: Tasks, plan: Schedule, number: int) -> tuple[Ids, Ids]:
        """This round's control picks, and the tasks that a query may take."""
        waiting = pool.ids[~pool.answered]
        held = self._held(waiting, plan, number)
        controls = held[: plan.control]
        return controls, np.setdiff1d(waiting, held)

    def _held(self, waiting: Ids, plan: Schedule, number: int) -> Ids:
        held = held_back(waiting, plan, number, self._options.seed)
        return held[: int(np.ceil(self._options.control_share * len(waiting)))]  # never more than their share of what is left

    def _choose(
        self, pool: Tasks, free: Ids, number: int, query: int, count: int, scored: StoredOutput, plan: Schedule
    ) -> Choice:
        chosen = pool.where(np.isin(pool.ids, free))
        losses = chosen.losses
        if not self._project.quality.get("meaningful", False):
            losses = np.full(len(chosen), np.nan)  # the stated safer order
        elif np.isfinite(losses).any():
            chosen = chosen.where(np.isfinite(losses))  # what is not scored yet waits for the next round
            losses = chosen.losses
        rng = np.random.default_rng([self._options.seed, number])
        strategy = strategy_of(self._options, plan.rounds)
        asked = Pool(chosen.ids, losses, chosen.batches)
        return choose(strategy, Request(asked, number, query, count, rng), scored)

    def _turn(
        self, number: int, state: str, line: Picks, scored: StoredOutput, plan: Schedule, closed: dict[str, Any] | None = None
    ) -> None:
        current = self._store.round(self._project.id, number)
        opened = Round(
            project_id=self._project.id,
            number=number,
            state=state,
            batch=int(sweep(plan.rounds, self._options.batch_order)[(number - 1) % plan.rounds]),
            opened_at=current.opened_at if current else time.time(),
        )
        picks = self._picks(number, 0, line, scored)
        model = {"model": closed["model"]} if closed and closed.get("model") else {}
        self._store.turn_round(self._project.id, opened, picks, closed=closed, **model)
        self._project.round = number
        self._project.model = model.get("model", self._project.model)

    def _picks(self, number: int, start: int, line: Picks, scored: StoredOutput) -> list[Pick]:
        picks = []
        confidences = scored.confidences.get("least_confidence")
        for place, (task_id, kind, score, row) in enumerate(
            zip(line.ids, line.kinds, line.scores, line.rows, strict=True), start
        ):
            picks.append(
                Pick(
                    project_id=self._project.id,
                    round=number,
                    task_id=int(task_id),
                    position=place,
                    kind=kind,
                    score=float(score),
                    label=str(scored.labels[row]) if row >= 0 else "",
                    confidence=float(confidences[row]) if confidences is not None and row >= 0 else None,
                )
            )
        return picks

    # between rounds

    def cut_batches(self, number: int, *, anew: bool = False) -> None:
        """Cuts the pool into batches before round ``number``: at the start of a sweep over what is left, or ``anew`` over all."""
        pool = self.pool()
        plan = self.schedule(pool)
        starts_sweep = (number - 1) % plan.rounds == 0
        chosen = pool.where(~pool.answered) if starts_sweep else pool
        meaningful = bool(self._project.quality.get("meaningful", False))
        if meaningful:
            chosen = chosen.where(np.isfinite(chosen.losses))
        stale = len(chosen) and (chosen.batches.min() == 0 or chosen.batches.max() != plan.rounds)
        if not len(chosen) or not (anew or starts_sweep or stale):
            return
        losses = chosen.losses if meaningful else np.full(len(chosen), np.nan)
        batches = cut(chosen.ids, losses, plan.rounds, self._options.seed)
        self._store.set_tasks(self._project.id, {"id": chosen.ids, "batch": batches})

    def candidates(self, number: int) -> Ids:
        """Tasks that the model must score before round ``number`` can be opened."""
        pool = self.pool()
        plan = self.schedule(pool)
        _, free = self._controls(pool, plan, number)
        chosen = pool.where(np.isin(pool.ids, free) & (pool.rows >= 0))
        strategy = strategy_of(self._options, plan.rounds)
        asked = Pool(chosen.ids, chosen.losses, chosen.batches)
        # twice the reserve: the stream is lengthened from what is scored while the next model trains
        positions = strategy.candidates(asked, number, plan.query + 2 * plan.reserve)
        return chosen.ids[positions]

    def lengthen(self, scored: Callable[[], StoredOutput]) -> bool:
        """Adds to the reserve when little of it is left, so that nobody waits for a model; True if it did.

        Little is less than half, and in a small reserve less than ``LEAST_LEFT``.
        """
        pool = self.pool()
        plan = self.schedule(pool)
        number = self._project.round
        asked, reserve = self._unanswered(pool)
        if not number or asked + reserve >= max(plan.reserve // 2, min(plan.reserve, LEAST_LEFT)):
            return False
        picks = self._store.picks(self._project.id, number)
        _, free = self._controls(pool, plan, number)
        free = np.setdiff1d(free, np.array([pick.task_id for pick in picks], np.int64))
        current = self._store.round(self._project.id, number)
        if not len(free) or current is None:
            return False
        said = StoredOutput()
        if current.state == "starting":
            ids = draw_controls(free, plan.reserve, self._options.seed + 1)
            choice = Choice(ids, np.ones(len(ids)), np.full(len(ids), -1, np.int64))
        else:
            said = scored()
            choice = self._choose(pool, free, number, 0, plan.reserve, said, plan)
        line = arrange(choice, 0, np.empty(0, np.int64))
        line = Picks(line.ids, line.kinds, scores_after(picks[-1].score if picks else 0.0, len(line.ids)), line.rows)
        self._store.add_picks(self._picks(number, len(picks), line, said))
        return bool(len(line.ids))
