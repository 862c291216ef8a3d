"""What of a project is outstanding, answered by the database: a look that finds nothing to do reads no task.

Each answer is a number or a yes. Partial indexes hold the tasks that still lack something, so it costs what is outstanding,
and not the pool.
"""

from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, case, exists, func, literal_column, select
from sqlalchemy.orm import aliased

from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.state.database import Database
from pt4al_backend.state.schema import COPIES, LACKING, AnswerKind, Pick, Task


class PickProgress(NamedTuple):
    """Picks of one kind: all, those that are answered, and those that are waited for, which none is that is set aside."""

    picks: int
    answered: int
    waiting: int


def _of(project_id: int) -> ColumnElement[bool]:
    return Task.project_id == project_id


def lacking(name: str) -> ColumnElement[bool]:
    """The condition that a partial index stands for."""
    return literal_column(LACKING[name])


def _due(now: float) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return lacking("unfetched"), (Task.problem == "") | (Task.retry_at <= now)


class OutstandingStore(Database):
    """Counts and existence, of tasks and of picks."""

    def copy_count(self, project_id: int) -> int:
        """Tasks of the pool whose image is identical to that of an earlier one."""
        return self._count(_of(project_id), literal_column(COPIES), Task.problem == "")

    def fetched_count(self, project_id: int) -> int:
        """Tasks whose image can be trained on."""
        return self._count(_of(project_id), Task.row.is_not(None), Task.problem == "")

    def has_pool(self, project_id: int) -> bool:
        """Whether there is a task whose image is not set aside."""
        return self._any(_of(project_id), Task.problem == "")

    def has_unranked(self, project_id: int) -> bool:
        """Whether an image that can be trained on has no pretext loss."""
        return self._any(_of(project_id), lacking("unranked"), Task.problem == "")

    def unanswered_counts(self, project_id: int) -> tuple[int, int]:
        """Tasks without an answer, copies among them: those of the pool, and those whose image is set aside."""
        waiting = _of(project_id), lacking("unanswered")
        return self._count(*waiting, Task.problem == ""), self._count(*waiting, Task.problem != "")

    def has_unanswered(self, project_id: int) -> bool:
        """Whether a task of the pool has no answer, and none with an identical image has one."""
        copy = aliased(Task)
        twin = exists().where(
            copy.project_id == project_id, copy.copy_of == Task.id, copy.answer != AnswerKind.NONE, copy.problem == ""
        )
        return self._any(_of(project_id), lacking("unanswered"), Task.problem == "", Task.copy_of.is_(None), ~twin)

    def to_fetch(self, project_id: int, now: float, at_most: int | None = None) -> list[tuple[int, str]]:
        """Tasks whose image is missing and due to be fetched ``now``, the first ``at_most`` by id: (id, image)."""
        found = select(Task.id, Task.image).where(_of(project_id), *_due(now)).order_by(Task.id).limit(at_most)
        with self._reading() as session:
            return [(i, image) for i, image in session.execute(found)]

    def to_fetch_count(self, project_id: int, now: float) -> int:
        """How many these are."""
        return self._count(_of(project_id), *_due(now))

    def pick_count(self, project_id: int, number: int) -> int:
        """Picks of a round."""
        with self._reading() as session:
            return session.scalar(select(func.count()).select_from(Pick).where(*_picked(project_id, number, ()))) or 0

    def has_picks(self, project_id: int, number: int, *kinds: PickKind) -> bool:
        """Whether a round has a pick of one of these kinds."""
        return self._any(*_picked(project_id, number, kinds))

    def unanswered_picks(self, project_id: int, number: int, *kinds: PickKind, at_most: int | None = None) -> int:
        """Picks of a round, of these kinds or of all, whose task waits for an answer; counts no further than ``at_most``.

        Tasks that are gone or set aside are not waited for.
        """
        task = exists().where(_of(project_id), Task.id == Pick.task_id, lacking("unanswered"), Task.problem == "")
        waiting = select(Pick.task_id).where(*_picked(project_id, number, kinds), task).limit(at_most)
        with self._reading() as session:
            return session.scalar(select(func.count()).select_from(waiting.subquery())) or 0

    def pick_progress(self, project_id: int, number: int) -> dict[PickKind, PickProgress]:
        """How far a round's picks are, by kind; kinds that it has none of are left out."""
        answered = case((Task.answer != AnswerKind.NONE, 1))
        waiting = case((and_(Task.answer == AnswerKind.NONE, Task.problem == ""), 1))
        task = and_(Task.project_id == Pick.project_id, Task.id == Pick.task_id)
        columns = (Pick.kind, func.count(), func.count(answered), func.count(waiting))
        found = select(*columns).outerjoin(Task, task).where(*_picked(project_id, number, ())).group_by(Pick.kind)
        with self._reading() as session:
            return {kind: PickProgress(*numbers) for kind, *numbers in session.execute(found)}

    def _count(self, *where: ColumnElement[bool]) -> int:
        with self._reading() as session:
            return session.scalar(select(func.count()).select_from(Task).where(*where)) or 0

    def _any(self, *where: ColumnElement[bool]) -> bool:
        with self._reading() as session:
            return bool(session.scalar(select(exists().where(*where))))


def _picked(project_id: int, number: int, kinds: tuple[PickKind, ...]) -> list[ColumnElement[bool]]:
    where = [Pick.project_id == project_id, Pick.round == number]
    return [*where, Pick.kind.in_(kinds)] if kinds else where
