"""How many tasks of each batch are how far, so that no page and no look counts the pool.

Whoever changes tasks counts those before and after, in the same transaction, and adds the difference. Only who holds the lease
of a project changes its tasks.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, and_, case, delete, func, insert, select
from sqlalchemy.orm import Session

from pt4al_backend.state.database import Database, insertion
from pt4al_backend.state.schema import AnswerKind, BatchCounts, Task


def _number_with(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((condition, 1)))


_NO_LABEL = Task.answer == AnswerKind.SKIP
#: The columns of ``BatchCounts``, as they are counted.
COUNTED: Mapping[str, ColumnElement[int]] = {
    "tasks": func.count(),
    "pool": _number_with(Task.problem == ""),
    "fetched": func.count(Task.row),
    "scored": func.count(Task.loss),
    "labelled": _number_with(Task.answer == AnswerKind.LABEL),
    "skipped": _number_with(and_(_NO_LABEL, Task.note == "")),
    "aside": _number_with((Task.problem != "") | and_(_NO_LABEL, Task.note != "")),
}


@contextmanager
def counted(session: Session, project_id: int, ids: Sequence[int]) -> Iterator[None]:
    """Keeps the counts right while a transaction changes these tasks, at most a slice."""
    before = _count(session, project_id, Task.id.in_(ids))
    yield
    after = _count(session, project_id, Task.id.in_(ids))
    nothing = np.zeros(len(COUNTED), np.int64)
    changes = {batch: after.get(batch, nothing) - before.get(batch, nothing) for batch in {**before, **after}}
    if rows := _rows(project_id, {batch: change for batch, change in changes.items() if change.any()}):
        more = insertion(session, BatchCounts)
        sums = {name: getattr(BatchCounts, name) + getattr(more.excluded, name) for name in COUNTED}
        session.execute(more.on_conflict_do_update(index_elements=["project_id", "batch"], set_=sums), rows)


def count_again(session: Session, project_id: int) -> None:
    """Counts all tasks, after a transaction has changed a large part of them."""
    session.execute(delete(BatchCounts).where(BatchCounts.project_id == project_id))
    if rows := _rows(project_id, _count(session, project_id)):
        session.execute(insert(BatchCounts), rows)


def _count(session: Session, project_id: int, *where: ColumnElement[bool]) -> dict[int, Any]:
    """The counts int64 [7] of each batch that has such tasks."""
    found = select(Task.batch, *COUNTED.values()).where(Task.project_id == project_id, *where).group_by(Task.batch)
    return {batch: np.array(counts, np.int64) for batch, *counts in session.execute(found)}


def _rows(project_id: int, counts: Mapping[int, Any]) -> list[dict[str, int]]:
    keys = ({"project_id": project_id, "batch": batch} for batch in counts)
    return [{**key, **dict(zip(COUNTED, each.tolist(), strict=True))} for key, each in zip(keys, counts.values(), strict=True)]


class CountStore(Database):
    """Reads the counts. It costs as much as there are batches."""

    def correct_counts(self, project_id: int) -> bool:
        """Counts all tasks, and corrects the counts that are kept; returns whether they were right.

        They are wrong where a backend of an earlier version still ran, or somebody changed tasks by hand.
        """
        kept = select(BatchCounts.batch, *(getattr(BatchCounts, name) for name in COUNTED))
        with self._reading() as session:
            found = {batch: counts.tolist() for batch, counts in _count(session, project_id).items()}
            rows = session.execute(kept.where(BatchCounts.project_id == project_id, BatchCounts.tasks > 0))
            is_right = found == {batch: counts for batch, *counts in rows}
        if not is_right:
            with self._writing() as session:
                count_again(session, project_id)
        return is_right

    def counts(self, project_id: int) -> dict[str, int]:
        """Tasks in all, in the pool, fetched, scored, labelled, skipped, set aside.

        A task whose image can be used is in the pool. One is set aside if its image cannot, or none of its annotations.
        """
        sums = [func.coalesce(func.sum(getattr(BatchCounts, name)), 0) for name in COUNTED]
        with self._reading() as session:
            row = session.execute(select(*sums).where(BatchCounts.project_id == project_id)).one()
        return dict(zip(COUNTED, map(int, row), strict=True))

    def task_count(self, project_id: int) -> int:
        """Tasks in all."""
        return self.counts(project_id)["tasks"]

    def pool_count(self, project_id: int) -> int:
        """Tasks whose image is not set aside."""
        return self.counts(project_id)["pool"]

    def batch_sizes(self, project_id: int) -> list[int]:
        """Tasks in b_1, b_2, …; empty before the ranking."""
        where = (BatchCounts.project_id == project_id, BatchCounts.batch > 0, BatchCounts.tasks > 0)
        with self._reading() as session:
            sizes = {batch: size for batch, size in session.execute(select(BatchCounts.batch, BatchCounts.tasks).where(*where))}
        return [sizes.get(batch, 0) for batch in range(1, max(sizes, default=0) + 1)]
