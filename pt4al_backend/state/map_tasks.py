"""The pool as the map colours it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from pt4al_backend.aliases import Ids
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.state.database import Database
from pt4al_backend.state.schema import AnswerKind, Pick, Task
from pt4al_backend.state.tasks import STREAMED


class StoredTasks(NamedTuple):
    """Tasks with a frame, by its row: ``rows``, ``ids`` and ``batches`` int64 [n]."""

    rows: NDArray[np.int64]
    ids: Ids
    batches: NDArray[np.int64]


class Queued(NamedTuple):
    """A pick of the open round that waits for an answer, and what the model says to it."""

    task: int
    kind: PickKind
    predicted: str
    confidence: float | None


class MapStore(Database):
    """Reads the pool in columns. What it costs grows with the pool, as the map does that shows it."""

    def stored_tasks(self, project_id: int) -> StoredTasks:
        """All tasks whose image is stored."""
        table = Task.__table__.c  # not the class, of which the ORM makes something of every row: five times the time
        found = select(table.row, table.id, table.batch).where(table.project_id == project_id, table.row.is_not(None))
        with self._reading() as session:
            rows = session.connection().execute(found.execution_options(yield_per=STREAMED))
            parts = [np.array(list(map(tuple, part)), np.int64) for part in rows.partitions()]
        columns = np.concatenate([np.empty((0, 3), np.int64), *parts])
        return StoredTasks(*columns[np.argsort(columns[:, 0])].T)

    def labels(self, project_id: int) -> dict[int, str]:
        """The label of each labelled task."""
        found = select(Task.id, Task.label).where(Task.project_id == project_id, Task.answer == AnswerKind.LABEL)
        with self._reading() as session:
            return {task: label for task, label in session.execute(found)}

    def queued(self, project_id: int, number: int) -> list[Queued]:
        """The picks of a round that wait for an answer."""
        found = select(Pick.task_id, Pick.kind, Pick.label, Pick.confidence)
        found = found.join(Task, (Task.project_id == Pick.project_id) & (Task.id == Pick.task_id))
        waiting = (Pick.project_id == project_id, Pick.round == number, Task.answer == AnswerKind.NONE)
        with self._reading() as session:
            return [Queued(*row) for row in session.execute(found.where(*waiting))]
