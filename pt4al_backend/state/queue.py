"""The queue as people look at it: a part of a round's picks, each with what is known of its task."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, case, func, literal, select

from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.state.database import Database
from pt4al_backend.state.schema import AnswerKind, Pick, Task


class QueuedTask(NamedTuple):
    """One pick and its task. A control pick has no ``predicted``: who sees a model's answer is not free of it."""

    task: int
    kind: PickKind
    batch: int
    predicted: str
    confidence: float | None
    answer: AnswerKind
    label: str
    has_frame: bool
    is_aside: bool


class QueueGroup(NamedTuple):
    """Picks of one batch that the model takes for the same, "" for nothing."""

    batch: int
    predicted: str


class QueueFilter(NamedTuple):
    """Which picks are wanted: of this batch, or that the model takes for this; None for all."""

    batch: int | None = None
    predicted: str | None = None

    def admits(self, group: QueueGroup) -> bool:
        """Whether a group's picks are wanted."""
        return self.batch in (None, group.batch) and self.predicted in (None, group.predicted)


#: What the model takes a pick for, as far as it is shown.
_predicted = case((Pick.kind == PickKind.CONTROL, literal("")), else_=Pick.label)


class QueueStore(Database):
    """Reads the queue. What it costs grows with the picks of one round, and not with the pool."""

    def queue_part(self, project_id: int, number: int, wanted: QueueFilter, start: int, count: int) -> Sequence[QueuedTask]:
        """Picks ``start`` to ``start + count`` of those wanted of a round, in the order served."""
        confidence = case((Pick.kind == PickKind.CONTROL, None), else_=Pick.confidence)
        known = (Task.answer, Task.label, Task.row.is_not(None), Task.problem != "")
        found = select(Pick.task_id, Pick.kind, Task.batch, _predicted, confidence, *known)
        found = found.join(Task, _same).where(*_wanted(project_id, number, wanted))
        with self._reading() as session:
            rows = session.execute(found.order_by(Pick.position, Pick.task_id).offset(start).limit(count))
            return [QueuedTask(*row) for row in rows]

    def queue_counts(self, project_id: int, number: int) -> dict[QueueGroup, int]:
        """How many picks a round has of each batch and predicted label."""
        groups = (Task.batch, Pick.kind, Pick.label)
        found = select(*groups, func.count()).join(Task, _same).where(*_wanted(project_id, number, QueueFilter()))
        counts = Counter[QueueGroup]()
        with self._reading() as session:
            for batch, kind, label, count in session.execute(found.group_by(*groups)):
                counts[QueueGroup(batch, "" if kind == PickKind.CONTROL else label)] += count
        return counts


_same = and_(Task.project_id == Pick.project_id, Task.id == Pick.task_id)


def _wanted(project_id: int, number: int, wanted: QueueFilter) -> list[ColumnElement[bool]]:
    where = [Pick.project_id == project_id, Pick.round == number]
    if wanted.batch is not None:
        where.append(Task.batch == wanted.batch)
    if wanted.predicted is not None:
        where.append(_predicted == wanted.predicted)
    return where
