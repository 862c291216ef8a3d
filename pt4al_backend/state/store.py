"""The state: projects, tasks, rounds, picks and publications, in SQLite (WAL) or PostgreSQL.

Large writes go in slices of ``SLICE`` rows, so that on SQLite no writer holds the file for more than some milliseconds:
the web process must acknowledge a webhook while the worker writes.
"""

import logging
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Table, and_, bindparam, case, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from pt4al_backend.config import ServerSettings
from pt4al_backend.state import database
from pt4al_backend.state.schema import Base, Pick, Project, Publication, Round, Task

log = logging.getLogger(__name__)

SLICE = 500
LEASE_SECONDS = 15.0

#: What to do when the state cannot be read or written.
REMEDY = "Check that the disk of PT4AL_DATA_DIR has space, and that PT4AL_DATABASE_URL and PT4AL_REDIS_URL, if set, answer."

T = TypeVar("T")


@dataclass(frozen=True)
class Tasks:
    """The pool as columns, in ascending task id."""

    ids: NDArray[np.int64]
    rows: NDArray[np.int64]  # place in the pixel file, -1: not fetched
    losses: NDArray[np.float64]  # NaN: not scored
    batches: NDArray[np.int64]  # 1..I, 0: not ranked
    answered: NDArray[np.bool_]  # labelled or skipped
    labelled: NDArray[np.bool_]  # holds a label that training can use
    aside: NDArray[np.bool_]  # its image cannot be used
    sizes: NDArray[np.int64]  # [n, 2] width and height of the image, 0: not fetched

    def __len__(self) -> int:
        return len(self.ids)

    def where(self, mask: NDArray[np.bool_]) -> "Tasks":
        """The tasks for which ``mask`` holds."""
        return Tasks(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))


class StoredAnswer(NamedTuple):
    """What annotators said of a task: "label" or "skip", and the columns that go with it."""

    answer: str
    label: str
    accepted: bool
    note: str
    stamp: str


def _sliced(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), SLICE):
        yield items[start : start + SLICE]


def _number_with(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((condition, 1)))


class Store:
    """All reading and writing of the state. Safe to share between threads."""

    def __init__(self, url: str) -> None:
        self._reader = database.engine(url)
        self._writer = self._reader.execution_options(writes=True)

    @classmethod
    def open(cls, settings: ServerSettings) -> "Store":
        """Opens the state that the settings name, and migrates it to this version."""
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = settings.data_dir / "state.sqlite3"
        if not settings.database_url and not path.exists():
            path.touch(mode=0o600)  # it holds the token that Label Studio sent
        store = cls(settings.database_url or f"sqlite:///{path}")
        store.migrate()
        return store

    def migrate(self) -> None:
        """Brings the tables to the newest migration."""
        database.migrate(self._writer)

    def close(self) -> None:
        """Closes the connections."""
        self._reader.dispose()

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with Session(self._reader, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    def _upsert(self, table: type[Base], rows: Sequence[Mapping[str, Any]], update_columns: Sequence[str]) -> None:
        dialect: Any = postgresql if self._writer.dialect.name == "postgresql" else sqlite
        keys = [column.name for column in table.__table__.primary_key]
        for part in _sliced(rows):
            statement = dialect.insert(table)
            changes = {name: getattr(statement.excluded, name) for name in update_columns}
            statement = statement.on_conflict_do_update(index_elements=keys, set_=changes)
            with self._writing() as session:
                session.execute(statement, list(part))

    # projects

    def project_ids(self) -> list[int]:
        """Ids of all connected projects."""
        with self._reading() as session:
            return list(session.scalars(select(Project.id).order_by(Project.id)))

    def project(self, project_id: int) -> Project | None:
        """One project, detached; None if it never connected."""
        with self._reading() as session:
            return session.get(Project, project_id)

    def connect(self, project_id: int, **fields: Any) -> None:
        """Registers a project, or updates what Label Studio says of it; writes only if something changed."""
        with self._writing() as session:
            project = session.get(Project, project_id)
            if project is None:
                session.add(Project(id=project_id, **fields))
                return
            for name, value in fields.items():
                if getattr(project, name) != value:
                    setattr(project, name, value)

    def update(self, project_id: int, **fields: Any) -> None:
        """Sets columns of one project."""
        with self._writing() as session:
            session.execute(update(Project).where(Project.id == project_id).values(**fields))

    def notice(self, project_id: int, topic: str, sentence: str) -> None:
        """Keeps one sentence for the user under a topic; an empty one removes it."""
        with self._writing() as session:
            project = session.get_one(Project, project_id, with_for_update=True)
            notices = {key: value for key, value in project.notices.items() if key != topic}
            project.notices = {**notices, topic: sentence} if sentence else notices

    def ask(self, project_id: int, *, train: bool = False) -> None:
        """Notes that a reconcile is wanted, and whether someone pressed Start Training."""
        changes: dict[str, Any] = {"asked": Project.asked + 1}
        if train:
            changes["train_asked"] = Project.train_asked + 1
        self.update(project_id, **changes)

    @contextmanager
    def lease(self, project_id: int) -> Iterator[bool]:
        """Holds a project for one reconcile. Gives False if another process holds it.

        The holder renews its lease every few seconds; that of a killed process runs out after ``LEASE_SECONDS``.
        """
        owner = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"

        def take(free: ColumnElement[bool], until: float) -> bool:
            with self._writing() as session:
                taken = update(Project).where(Project.id == project_id, free).values(lease_owner=owner, lease_until=until)
                return bool(session.execute(taken).rowcount)  # type: ignore[attr-defined]

        now = time.time()
        if not take(Project.lease_until < now, now + LEASE_SECONDS):
            yield False
            return
        released = Event()

        def renew() -> None:
            while not released.wait(LEASE_SECONDS / 4):
                try:
                    take(Project.lease_owner == owner, time.time() + LEASE_SECONDS)
                except DBAPIError:  # a full disk, or a database that restarts: the next one may come in time
                    log.exception("The lease of project %s could not be renewed.", project_id)

        thread = Thread(target=renew, name=f"lease-{project_id}", daemon=True)
        thread.start()
        try:
            yield True
        finally:
            released.set()
            thread.join()
            take(Project.lease_owner == owner, 0.0)

    # tasks

    def task_images(self, project_id: int) -> dict[int, str]:
        """Image reference of every task."""
        with self._reading() as session:
            return {i: image for i, image in session.execute(select(Task.id, Task.image).where(Task.project_id == project_id))}

    def put_tasks(self, project_id: int, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Inserts new tasks, or gives known ones another image; what was learned of the old image is dropped."""
        blank = {"row": None, "retry_at": None, "loss": None, "batch": 0}
        rows = [{"project_id": project_id, **blank, **task} for task in tasks]  # id, image, problem
        self._upsert(Task, rows, ["image", "problem", *blank])

    def put_answers(self, project_id: int, answers: Sequence[Mapping[str, Any]]) -> None:
        """Sets answer, label, accepted, note and stamp of tasks (``id`` names the task)."""
        self._update_tasks(project_id, answers)

    def set_tasks(self, project_id: int, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
        """Sets columns of tasks; ``columns["id"]`` names them. Tasks that were deleted meanwhile are passed over."""
        plain = {name: (v.tolist() if isinstance(v, np.ndarray) else list(v)) for name, v in columns.items()}
        self._update_tasks(project_id, [dict(zip(plain, values, strict=True)) for values in zip(*plain.values(), strict=True)])

    def _update_tasks(self, project_id: int, rows: Sequence[Mapping[str, Any]]) -> None:
        if not rows:
            return
        # not the ORM's bulk update, which fails if a row is gone
        table = Task.__table__
        assert isinstance(table, Table)  # noqa: S101 - tells mypy
        changes: dict[str, Any] = {name: bindparam(f"new_{name}") for name in rows[0] if name != "id"}
        statement = update(table).where(table.c.project_id == project_id, table.c.id == bindparam("new_id")).values(changes)
        for part in _sliced(rows):
            with self._writing() as session:
                session.connection().execute(statement, [{f"new_{name}": value for name, value in row.items()} for row in part])

    def clear_tasks(self, project_id: int, **values: Any) -> None:
        """Sets columns of every task of a project to the same values."""
        with self._writing() as session:
            session.execute(update(Task).where(Task.project_id == project_id).values(**values))

    def drop_tasks(self, project_id: int, ids: Sequence[int]) -> None:
        """Deletes tasks that Label Studio no longer has, with their picks."""
        for part in _sliced(ids):
            with self._writing() as session:
                session.execute(delete(Pick).where(Pick.project_id == project_id, Pick.task_id.in_(part)))
                session.execute(delete(Task).where(Task.project_id == project_id, Task.id.in_(part)))

    def to_fetch(self, project_id: int, now: float) -> list[tuple[int, str]]:
        """Tasks whose image is missing and due to be fetched, by id: (id, image)."""
        due = (Task.problem == "") | (Task.retry_at <= now)
        where = (Task.project_id == project_id, Task.row.is_(None), Task.image != "", due)
        with self._reading() as session:
            return [(i, image) for i, image in session.execute(select(Task.id, Task.image).where(*where).order_by(Task.id))]

    def next_row(self, project_id: int) -> int:
        """First free place of the pixel file."""
        with self._reading() as session:
            last = session.scalar(select(func.max(Task.row)).where(Task.project_id == project_id))
        return 0 if last is None else last + 1

    def tasks(self, project_id: int) -> Tasks:
        """The whole pool as columns."""
        wanted = (Task.id, Task.row, Task.loss, Task.batch, Task.answer, Task.problem, Task.width, Task.height)
        with self._reading() as session:
            found = session.execute(select(*wanted).where(Task.project_id == project_id).order_by(Task.id)).all()
        ids, rows, losses, batches, answers, problems, widths, heights = zip(*found, strict=True) if found else ((),) * 8
        return Tasks(
            ids=np.array(ids, np.int64),
            rows=np.array([-1 if row is None else row for row in rows], np.int64),
            losses=np.array([np.nan if loss is None else loss for loss in losses], np.float64),
            batches=np.array(batches, np.int64),
            answered=np.array([answer != "" for answer in answers], np.bool_),
            labelled=np.array([answer == "label" for answer in answers], np.bool_),
            aside=np.array([problem != "" for problem in problems], np.bool_),
            sizes=np.array([(w or 0, h or 0) for w, h in zip(widths, heights, strict=True)], np.int64).reshape(-1, 2),
        )

    def answers(self, project_id: int) -> dict[int, StoredAnswer]:
        """Every answered task, by id."""
        wanted = select(Task.id, Task.answer, Task.label, Task.accepted, Task.note, Task.stamp)
        with self._reading() as session:
            found = session.execute(wanted.where(Task.project_id == project_id, Task.answer != ""))
            return {i: StoredAnswer(kind, label, accepted, note, stamp) for i, kind, label, accepted, note, stamp in found}

    def sizes(self, project_id: int, task_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Width and height of the images of the given tasks, as far as they were fetched."""
        sizes: dict[int, tuple[int, int]] = {}
        for part in _sliced(task_ids):
            where = (Task.project_id == project_id, Task.id.in_(part), Task.width.is_not(None))
            with self._reading() as session:
                found = session.execute(select(Task.id, Task.width, Task.height).where(*where))
                sizes.update({i: (w or 0, h or 0) for i, w, h in found})
        return sizes

    def set_aside(self, project_id: int, limit: int = 100) -> tuple[int, list[tuple[int, str]]]:
        """How many tasks are left out, wholly or in part, and the first of them with their reasons (image or annotations)."""
        where = and_(Task.project_id == project_id, (Task.problem != "") | (Task.note != ""))
        with self._reading() as session:
            total = session.scalar(select(func.count()).select_from(Task).where(where)) or 0
            found = session.execute(select(Task.id, Task.problem, Task.note).where(where).order_by(Task.id).limit(limit))
            return total, [(i, problem or note) for i, problem, note in found]

    def counts(self, project_id: int) -> dict[str, int]:
        """Tasks in all, in the pool, fetched, scored, labelled, skipped, set aside.

        A task whose image can be used is in the pool. One is set aside if its image cannot, or none of its annotations.
        """
        no_label = Task.answer == "skip"
        columns = {
            "tasks": func.count(),
            "pool": _number_with(Task.problem == ""),
            "fetched": func.count(Task.row),
            "scored": func.count(Task.loss),
            "labelled": _number_with(Task.answer == "label"),
            "skipped": _number_with(and_(no_label, Task.note == "")),
            "aside": _number_with((Task.problem != "") | and_(no_label, Task.note != "")),
        }
        with self._reading() as session:
            row = session.execute(select(*columns.values()).select_from(Task).where(Task.project_id == project_id)).one()
        return dict(zip(columns, row, strict=True))

    # rounds and picks

    def rounds(self, project_id: int) -> list[Round]:
        """All rounds in order."""
        with self._reading() as session:
            return list(session.scalars(select(Round).where(Round.project_id == project_id).order_by(Round.number)))

    def round(self, project_id: int, number: int) -> Round | None:
        """One round, or None."""
        with self._reading() as session:
            return session.get(Round, (project_id, number))

    def turn_round(
        self, project_id: int, opened: Round, picks: Sequence[Pick], *, closed: Mapping[str, Any] | None = None, **project: Any
    ) -> None:
        """Closes the current round and opens ``opened`` with its picks, all in one transaction.

        ``closed`` are columns of the round before; ``project`` columns of the project. A round of that number that is
        still starting is replaced, so its picks are too.
        """
        with self._writing() as session:
            if closed is not None:
                before = (Round.project_id == project_id, Round.number == opened.number - 1)
                session.execute(update(Round).where(*before).values(state="closed", closed_at=time.time(), **closed))
            session.execute(delete(Pick).where(Pick.project_id == project_id, Pick.round == opened.number))
            session.execute(delete(Round).where(Round.project_id == project_id, Round.number == opened.number))
            session.execute(update(Project).where(Project.id == project_id).values(round=opened.number, **project))
            session.add(opened)
            session.add_all(picks)

    def picks(self, project_id: int, round_number: int) -> list[Pick]:
        """A round's picks in the order served."""
        where = (Pick.project_id == project_id, Pick.round == round_number)
        with self._reading() as session:
            return list(session.scalars(select(Pick).where(*where).order_by(Pick.position)))

    def add_picks(self, picks: Sequence[Pick]) -> None:
        """Appends picks to a round."""
        with self._writing() as session:
            session.add_all(picks)

    def picks_of(self, project_id: int, round_number: int, task_ids: Sequence[int]) -> dict[int, Pick]:
        """The picks of a round among the given tasks."""
        found: dict[int, Pick] = {}
        for part in _sliced(task_ids):
            where = (Pick.project_id == project_id, Pick.round == round_number, Pick.task_id.in_(part))
            with self._reading() as session:
                found.update({pick.task_id: pick for pick in session.scalars(select(Pick).where(*where))})
        return found

    def control_ids(self, project_id: int) -> NDArray[np.int64]:
        """Every task that was ever a control pick: it is never trained on."""
        where = (Pick.project_id == project_id, Pick.kind == "control")
        with self._reading() as session:
            return np.array(sorted(set(session.scalars(select(Pick.task_id).where(*where)))), np.int64)

    # publications

    def publications(self, project_id: int, *states: str) -> list[Publication]:
        """Publications in the given states, oldest first."""
        where = (Publication.project_id == project_id, Publication.state.in_(states))
        with self._reading() as session:
            return list(session.scalars(select(Publication).where(*where).order_by(Publication.at)))

    def announce(self, publication: Publication) -> None:
        """Writes down what is about to be sent, before it is sent."""
        with self._writing() as session:
            session.execute(
                insert(Publication).values(**{c.name: getattr(publication, c.name) for c in Publication.__table__.columns})
            )

    def set_publication(self, project_id: int, version: str, **fields: Any) -> None:
        """Sets columns of one publication."""
        where = (Publication.project_id == project_id, Publication.version == version)
        with self._writing() as session:
            session.execute(update(Publication).where(*where).values(**fields))

    def go_live(self, project_id: int, version: str) -> None:
        """Notes that Label Studio serves ``version`` now; the one before becomes old."""
        live = (Publication.project_id == project_id, Publication.state == "live", Publication.version != version)
        this = (Publication.project_id == project_id, Publication.version == version)
        with self._writing() as session:
            session.execute(update(Publication).where(*live).values(state="old"))
            session.execute(update(Publication).where(*this).values(state="live"))
            session.execute(update(Project).where(Project.id == project_id).values(served_version=version))
