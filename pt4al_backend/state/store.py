"""The state: projects, tasks, rounds, picks and publications, in SQLite (WAL) or PostgreSQL."""

import sqlite3
from contextlib import AbstractContextManager
from typing import Self, Unpack, cast

from sqlalchemy import delete, select, update

from pt4al_backend.config import ServerSettings
from pt4al_backend.state.annotations import AnnotationStore
from pt4al_backend.state.copies import CopyStore
from pt4al_backend.state.counts import CountStore
from pt4al_backend.state.lease import Lease, hold
from pt4al_backend.state.map_tasks import MapStore
from pt4al_backend.state.outstanding import OutstandingStore
from pt4al_backend.state.people import PeopleStore
from pt4al_backend.state.projects import change, id_of, mirror
from pt4al_backend.state.queue import QueueStore
from pt4al_backend.state.rounds import RoundStore
from pt4al_backend.state.schema import Annotation, Forgotten, Instance, Pick, Project, ProjectColumns, Publication, Round, Task
from pt4al_backend.state.tasks import TaskStore

#: What to do when the state cannot be read or written.
REMEDY = "Check that the disk of PT4AL_DATA_DIR has space, and that PT4AL_DATABASE_URL and PT4AL_REDIS_URL, if set, answer."


def cause_of(error: Exception) -> str:
    """What went wrong with a database or a queue, for everybody to read: SQLite's words, but only the kind of a server's error.

    A server's words name its address, and SQLAlchemy's would quote the values, a token among them.
    """
    cause = getattr(error, "orig", None) or error
    words = f": {cause}" if isinstance(cause, sqlite3.Error) else ""
    return f"{type(cause).__name__}{words}"


class Store(TaskStore, CountStore, AnnotationStore, RoundStore, OutstandingStore, CopyStore, PeopleStore, QueueStore, MapStore):
    """All reading and writing of the state. Safe to share between threads; the rows that it gives away are not."""

    @classmethod
    def open(cls, settings: ServerSettings) -> Self:
        """Opens the state that the settings name, and migrates it to this version."""
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = settings.data_dir / "state.sqlite3"
        if not settings.database_url and not path.exists():
            path.touch(mode=0o600)  # it holds the token that Label Studio sent
        store = cls(settings.database_url or f"sqlite:///{path}")
        try:
            store.migrate()
        except BaseException:
            store.close()
            raise
        return store

    def instance(self) -> Instance:
        """What tells this backend from others; the first migration that knows it has drawn it."""
        with self._reading() as session:
            return session.scalars(select(Instance)).one()

    def project_ids(self) -> list[int]:
        """Ids of all projects that ever connected and are not forgotten."""
        with self._reading() as session:
            return list(session.scalars(select(Project.id).order_by(Project.id)))

    def backend_hosts(self) -> set[str]:
        """The names under which Label Studio reaches this backend."""
        with self._reading() as session:
            return set(session.scalars(select(Project.backend_host).distinct())) - {""}

    def driven_ids(self) -> list[int]:
        """Ids of the projects that are connected, which leaves out those that were let go."""
        with self._reading() as session:
            return list(session.scalars(select(Project.id).where(Project.let_go_at.is_(None)).order_by(Project.id)))

    def waiting_for_device(self) -> list[int]:
        """Ids of the projects whose training waits for the device, the longest wait first."""
        waiting = (Project.device_wanted_at.is_not(None), Project.let_go_at.is_(None))
        with self._reading() as session:
            return list(session.scalars(select(Project.id).where(*waiting).order_by(Project.device_wanted_at, Project.id)))

    def project(self, project_id: int) -> Project | None:
        """One project as it is now, read-only; None if it never connected."""
        with self._reading() as session:
            return session.get(Project, project_id)

    def connect(self, project_id: int, identity: str = "", **columns: Unpack[ProjectColumns]) -> None:
        """Registers a project, or updates what Label Studio says of it; writes only if something changed.

        ``identity`` is that of a new connection; one that is known keeps its own.
        """
        with self._writing() as session:
            project = session.get(Project, project_id)
            if project is None:
                session.add(Project(id=project_id, identity=identity, **columns))
                return
            for name, value in columns.items():
                if getattr(project, name) != value:
                    setattr(project, name, value)

    def forget(self, project: Project, *, shared: bool = False) -> Forgotten:
        """Deletes all rows of a project but a note for the hosts that have files of it; ``shared``: so has the artefact store."""
        project_id, note = project.id, Forgotten(project_id=project.id, identity=project.identity, shared=shared)
        self.drop_tasks(project_id, self.task_ids(project_id).tolist())  # in slices, as other projects write meanwhile
        with self._writing() as session:
            for table in (Pick, Annotation, Task, Publication, Round):
                session.execute(delete(table).where(table.project_id == project_id))
            session.execute(delete(Project).where(Project.id == project_id))
            session.merge(note)
        return note

    def forgotten(self) -> list[Forgotten]:
        """The connections that were forgotten. No host has a use for their files."""
        known = select(Project.id).where(Project.id == Forgotten.project_id, Project.identity == Forgotten.identity)
        with self._reading() as session:
            return list(session.scalars(select(Forgotten).where(~known.exists())))

    def note_unshared(self, forgotten: Forgotten) -> None:
        """Notes that the artefact store has nothing more of a connection that was forgotten."""
        which = (Forgotten.project_id == forgotten.project_id, Forgotten.identity == forgotten.identity)
        with self._writing() as session:
            session.execute(update(Forgotten).where(*which).values(shared=False))

    def change(self, project: Project | int, **columns: Unpack[ProjectColumns]) -> None:
        """Sets columns of a project, in the database and in ``project`` if that is a row and not an id."""
        with self._writing() as session:
            change(session, project, columns)
        mirror(project, columns)

    def refresh(self, project: Project, *names: str) -> None:
        """Reads columns again that others change while a row is worked with."""
        found = self.project(project.id)
        if found is not None:
            mirror(project, cast(ProjectColumns, {name: getattr(found, name) for name in names}))

    def notice(self, project: Project | int, topic: str, sentence: str) -> None:
        """Keeps one sentence for the user under a topic; an empty one removes it. Writes only if a row shows another one."""
        if isinstance(project, Project) and project.notices.get(topic, "") == sentence:
            return
        with self._writing() as session:
            found = session.get_one(Project, id_of(project), with_for_update=True)
            notices = {key: value for key, value in found.notices.items() if key != topic}
            found.notices = {**notices, topic: sentence} if sentence else notices
        mirror(project, {"notices": found.notices})

    def request(self, project_id: int, *, train: bool = False) -> None:
        """Notes that a reconcile is wanted, and whether someone pressed Start Training."""
        counters = {Project.requests: Project.requests + 1}
        if train:
            counters[Project.trainings_requested] = Project.trainings_requested + 1
        with self._writing() as session:
            session.execute(update(Project).where(Project.id == project_id).values(counters))

    def lease(self, project_id: int) -> AbstractContextManager[Lease | None]:
        """Holds a project for one reconcile; None, at once, if another thread or process holds it."""
        return hold(self._reader.url, project_id)
