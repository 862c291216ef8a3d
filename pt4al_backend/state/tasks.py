"""The tasks of the state: the pool as columns, and answers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Table, and_, bindparam, delete, func, select, update
from sqlalchemy.orm import Session

from pt4al_backend.measures import PretextQuality
from pt4al_backend.state.copies import release
from pt4al_backend.state.counts import count_again, counted
from pt4al_backend.state.database import Database, insertion, sliced
from pt4al_backend.state.outstanding import lacking
from pt4al_backend.state.projects import change, mirror
from pt4al_backend.state.rounds import outdate
from pt4al_backend.state.schema import Annotation, AnswerKind, PersonsChoice, Pick, Project, ProjectColumns, Task

#: Rows that are held at a time while the whole pool is read.
STREAMED = 10_000


@dataclass(frozen=True)
class Tasks:
    """The pool as columns, in ascending task id."""

    ids: NDArray[np.int64]
    rows: NDArray[np.int64]  # place in the frame file, -1: not fetched
    losses: NDArray[np.float64]  # NaN: not scored
    batches: NDArray[np.int64]  # 1..I, 0: not ranked
    answered: NDArray[np.bool_]  # labelled or skipped
    labelled: NDArray[np.bool_]  # holds a label that training can use
    aside: NDArray[np.bool_]  # its image cannot be used
    sizes: NDArray[np.int64]  # [n, 2] width and height of the image, 0: not fetched
    origins: NDArray[np.int64]  # first task with an identical image, or the task itself

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def distinct(self) -> NDArray[np.bool_]:
        """bool[n]: the first of each group of identical images."""
        first = np.zeros(len(self), np.bool_)
        first[np.unique(self.origins, return_index=True)[1]] = True
        return first

    @property
    def unknown(self) -> NDArray[np.bool_]:
        """bool[n]: what a query may take, which is one of identical images of which none is answered."""
        return self.distinct & ~np.isin(self.origins, self.origins[self.answered])

    def one_of_each(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of ``ids`` that are here, in their order, and only the first of identical images: int64[m]."""
        here = ids[np.isin(ids, self.ids)]
        _, first = np.unique(self.origins[np.searchsorted(self.ids, here)], return_index=True)
        return here[np.sort(first)]

    def same_as(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """All tasks whose image is identical to that of one of these, themselves among them: int64[m]."""
        return self.ids[np.isin(self.origins, self.origins[np.isin(self.ids, ids)])]

    def where(self, mask: NDArray[np.bool_]) -> "Tasks":
        """The tasks for which ``mask`` holds."""
        return Tasks(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))


class StoredAnswer(NamedTuple):
    """The answer to a task: the columns of ``Task`` that go together."""

    answer: AnswerKind
    label: str = ""
    accepted: bool = False
    note: str = ""
    stamp: str = ""


@dataclass(frozen=True, eq=False)
class Ranking:
    """A finished ranking: losses float64[n] of ``ids`` int64[n], batches 1..I int64[m] of ``batch_ids`` int64[m].

    ``learner`` is the artefact of the pretext learner, ``quality`` says whether its losses mean anything.
    """

    ids: NDArray[np.int64]
    losses: NDArray[np.float64]
    batch_ids: NDArray[np.int64]
    batches: NDArray[np.int64]
    learner: str
    quality: PretextQuality


def update_tasks(session: Session, project_id: int, rows: Sequence[Mapping[str, Any]]) -> None:
    """Sets the same columns of several tasks, each named by its ``id``; those that are gone are left out."""
    if not rows:
        return
    # not the ORM's bulk update, which fails if a row is gone
    table = Task.__table__
    assert isinstance(table, Table)  # noqa: S101 - tells mypy
    changes: dict[str, Any] = {name: bindparam(f"new_{name}") for name in rows[0] if name != "id"}
    statement = update(table).where(table.c.project_id == project_id, table.c.id == bindparam("new_id")).values(changes)
    session.connection().execute(statement, [{f"new_{name}": value for name, value in row.items()} for row in rows])


def _rows(columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> list[dict[str, Any]]:
    plain = {name: (v.tolist() if isinstance(v, np.ndarray) else list(v)) for name, v in columns.items()}
    return [dict(zip(plain, values, strict=True)) for values in zip(*plain.values(), strict=True)]


def _columns(rows: Sequence[Sequence[Any]]) -> tuple[NDArray[Any], ...]:
    """The columns of ``Tasks`` from rows of the database: id, row, loss, batch, answer, problem, width, height, copy_of."""
    ids, places, losses, batches, answers, problems, widths, heights, copies = zip(*rows, strict=True) if rows else ((),) * 9
    return (
        np.array(ids, np.int64),
        np.array([-1 if place is None else place for place in places], np.int64),
        np.array(losses, np.float64),  # None becomes NaN
        np.array(batches, np.int64),
        np.array([answer != AnswerKind.NONE for answer in answers], np.bool_),
        np.array([answer == AnswerKind.LABEL for answer in answers], np.bool_),
        np.array([problem != "" for problem in problems], np.bool_),
        np.array([(w or 0, h or 0) for w, h in zip(widths, heights, strict=True)], np.int64).reshape(-1, 2),
        np.array([i if origin is None else origin for i, origin in zip(ids, copies, strict=True)], np.int64),
    )


class TaskStore(Database):
    """Reads and writes tasks."""

    def task_ids(self, project_id: int) -> NDArray[np.int64]:
        """Ids of all tasks, ascending."""
        return self._ids(Task.project_id == project_id)

    def answered_ids(self, project_id: int) -> NDArray[np.int64]:
        """Ids of all answered tasks, ascending."""
        return self._ids(Task.project_id == project_id, Task.answer != AnswerKind.NONE)

    def _ids(self, *where: ColumnElement[bool]) -> NDArray[np.int64]:
        with self._reading() as session:
            found = session.scalars(select(Task.id).where(*where).order_by(Task.id).execution_options(yield_per=STREAMED))
            return np.fromiter(found, np.int64)

    def task_images(self, project_id: int, task_ids: Sequence[int]) -> dict[int, str]:
        """Image reference of each of the given tasks that is known."""
        return {i: str(image) for i, image in self._named(project_id, task_ids, Task.image)}

    def images(self, project_id: int) -> Iterator[str]:
        """Image references of all tasks, in no order; read in parts."""
        with self._reading() as session:
            yield from session.scalars(
                select(Task.image).where(Task.project_id == project_id).execution_options(yield_per=STREAMED)
            )

    def put_tasks(self, project_id: int, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Inserts new tasks, or gives known ones another image; what was learned of the old image is dropped."""
        blank = {"row": None, "frame": "", "copy_of": None, "width": None, "height": None, "loss": None, "batch": 0}
        blank |= {"image_note": "", "retry_at": None}
        rows = [{"project_id": project_id, **blank, **task} for task in tasks]  # id, image, problem
        for part in sliced(rows):
            ids = [row["id"] for row in part]
            with self._writing() as session, counted(session, project_id, ids):
                release(session, project_id, ids)
                task = insertion(session, Task)
                changes = {name: getattr(task.excluded, name) for name in ("image", "problem", *blank)}
                session.execute(task.on_conflict_do_update(index_elements=["project_id", "id"], set_=changes), part)

    def put_answers(self, project_id: int, answers: Mapping[int, StoredAnswer]) -> None:
        """Sets the answers of tasks, by task id."""
        self._update_tasks(project_id, [{"id": i, **answer._asdict()} for i, answer in answers.items()])

    def set_tasks(self, project_id: int, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
        """Sets columns of tasks; ``columns["id"]`` names them. Tasks that were deleted meanwhile are left out."""
        self._update_tasks(project_id, _rows(columns))

    def _update_tasks(self, project_id: int, rows: Sequence[Mapping[str, Any]]) -> None:
        for part in sliced(rows):
            with self._writing() as session, counted(session, project_id, [row["id"] for row in part]):
                update_tasks(session, project_id, part)

    def adopt_ranking(self, project: Project, ranking: Ranking) -> None:
        """Takes over a finished ranking in one transaction: a kill leaves the project with all of it or none.

        Not in slices, so on SQLite other writers wait for it: about a second for 100,000 tasks.
        """
        columns: ProjectColumns = {
            "learner": ranking.learner,
            "learner_pool": len(ranking.ids),
            "quality": ranking.quality,
        }
        with self._writing() as session:
            update_tasks(session, project.id, _rows({"id": ranking.ids, "loss": ranking.losses}))
            update_tasks(session, project.id, _rows({"id": ranking.batch_ids, "batch": ranking.batches}))
            count_again(session, project.id)
            change(session, project, columns)
        mirror(project, columns)

    def clear_tasks(self, project_id: int, **values: Any) -> None:
        """Sets columns of every task of a project to the same values."""
        with self._writing() as session:
            session.execute(update(Task).where(Task.project_id == project_id).values(**values))
            count_again(session, project_id)

    def drop_tasks(self, project_id: int, ids: Sequence[int]) -> None:
        """Deletes tasks that Label Studio no longer has, with their picks and annotations."""
        for part in sliced(ids):
            with self._writing() as session, counted(session, project_id, part):
                picks = (Pick.project_id == project_id, Pick.task_id.in_(part))
                outdate(session, project_id, session.scalars(select(Pick.round).where(*picks).distinct()))
                session.execute(delete(Pick).where(*picks))
                session.execute(delete(Annotation).where(Annotation.project_id == project_id, Annotation.task_id.in_(part)))
                release(session, project_id, part)
                session.execute(
                    delete(PersonsChoice).where(PersonsChoice.project_id == project_id, PersonsChoice.task_id.in_(part))
                )
                session.execute(delete(Task).where(Task.project_id == project_id, Task.id.in_(part)))

    def take_rows(self, project: Project, count: int) -> range:
        """``count`` rows of the frame file that no image has had: a job that names rows never finds another image in them."""
        with self._writing() as session:
            first = session.get_one(Project, project.id, with_for_update=True).next_row
            columns: ProjectColumns = {"next_row": first + count}
            change(session, project, columns)
        mirror(project, columns)
        return range(first, first + count)

    def frame_of(self, project_id: int, task_id: int) -> tuple[int, str] | None:
        """Row of a task's image in the frame file, and the digest of what is there; None if it has none."""
        found = select(Task.row, Task.frame).where(Task.project_id == project_id, Task.id == task_id, Task.row.is_not(None))
        with self._reading() as session:
            pair = session.execute(found).one_or_none()
        return None if pair is None or pair[0] is None else (pair[0], pair[1])

    def rows(self, project_id: int, first: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Task ids int64[n] and rows int64[n] of all images in the frame file from row ``first`` on, by row."""
        where = (Task.project_id == project_id, Task.row >= first)
        with self._reading() as session:
            found = session.execute(select(Task.id, Task.row).where(*where).order_by(Task.row)).all()
        pairs = np.array([tuple(each) for each in found], np.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    def tasks(self, project_id: int) -> Tasks:
        """The whole pool as columns; rows are read in parts, so that no more than the columns are held."""
        wanted = (Task.id, Task.row, Task.loss, Task.batch, Task.answer, Task.problem, Task.width, Task.height, Task.copy_of)
        found = select(*wanted).where(Task.project_id == project_id).order_by(Task.id)
        with self._reading() as session:
            parts = [_columns(part) for part in session.execute(found, execution_options={"yield_per": STREAMED}).partitions()]
        return Tasks(*map(np.concatenate, zip(*(parts or [_columns(())]), strict=True)))

    def answers(self, project_id: int, task_ids: Sequence[int] | None = None) -> dict[int, StoredAnswer]:
        """Every answered task, by id; of the given ones, or of all."""
        answered, columns = Task.answer != AnswerKind.NONE, [getattr(Task, name) for name in StoredAnswer._fields]
        if task_ids is not None:
            return {i: StoredAnswer(*rest) for i, *rest in self._named(project_id, task_ids, *columns, where=answered)}
        found = select(Task.id, *columns).where(Task.project_id == project_id, answered)
        with self._reading() as session:
            return {i: StoredAnswer(*rest) for i, *rest in session.execute(found.execution_options(yield_per=STREAMED))}

    def _named(
        self, project_id: int, task_ids: Sequence[int], *columns: Any, where: ColumnElement[bool] | None = None
    ) -> Iterator[Sequence[Any]]:
        """Id and columns of the given tasks, as far as ``where`` holds for them."""
        for part in sliced(task_ids):
            found = select(Task.id, *columns).where(Task.project_id == project_id, Task.id.in_(part))
            with self._reading() as session:
                yield from session.execute(found if where is None else found.where(where)).all()

    def sizes(self, project_id: int, task_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Width and height of the images of the given tasks, as far as they were fetched."""
        found = self._named(project_id, task_ids, Task.width, Task.height, where=Task.width.is_not(None))
        return {i: (width or 0, height or 0) for i, width, height in found}

    def fetched_sizes(self, project_id: int, task_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
        """The same of those whose image can be trained on; (0, 0) where the size is not known."""
        where = and_(Task.row.is_not(None), Task.problem == "")
        found = self._named(project_id, task_ids, Task.width, Task.height, where=where)
        return {i: (width or 0, height or 0) for i, width, height in found}

    def set_aside(self, project_id: int, limit: int = 100) -> tuple[int, list[tuple[int, str]]]:
        """How many tasks are left out, wholly or in part, and the first of them with their reasons (image or annotations)."""
        where = and_(Task.project_id == project_id, lacking("left_out"))
        with self._reading() as session:
            total = session.scalar(select(func.count()).select_from(Task).where(where)) or 0
            found = session.execute(select(Task.id, Task.problem, Task.note).where(where).order_by(Task.id).limit(limit))
            return total, [(i, problem or note) for i, problem, note in found]

    def image_notes(self, project_id: int, limit: int = 100) -> tuple[int, list[tuple[int, str]]]:
        """How many images are used although something was done to them, and the first of them with what that was."""
        where = and_(Task.project_id == project_id, lacking("altered"), Task.problem == "")
        with self._reading() as session:
            total = session.scalar(select(func.count()).select_from(Task).where(where)) or 0
            found = session.execute(select(Task.id, Task.image_note).where(where).order_by(Task.id).limit(limit))
            return total, [(i, note) for i, note in found]
