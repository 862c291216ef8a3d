"""The lease of a project: at most one reconcile at a time moves it forward, in whichever process and thread.

A lock of the kernel's or of PostgreSQL's, not a row with a time: a holder that is killed loses it at once, one that is stopped
for a while keeps it, and no two clocks need to agree.
"""

import hashlib
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from sqlalchemy import URL, Connection, NullPool, create_engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from pt4al_backend.locks import held

log = logging.getLogger(__name__)

#: PostgreSQL frees the lock of a machine that vanished, or was cut off, after about this: idle + interval * count seconds.
KEEPALIVES = {"tcp_keepalives_idle": 15, "tcp_keepalives_interval": 5, "tcp_keepalives_count": 3}
#: The same for this end of the connection, as libpq names it; the last is in milliseconds.
OUR_KEEPALIVES = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}


class LeaseLost(Exception):
    """The lease of a project is lost: another process may hold it, so nothing more is to be done to the project."""


class Lease(ABC):
    """The right to move one project forward. For the thread that took it."""

    @property
    @abstractmethod
    def lost(self) -> bool:
        """Whether somebody else may hold it by now; checked before anything that others would see."""

    def require(self) -> None:
        """Raises:
        LeaseLost: it is lost.
        """
        if self.lost:
            raise LeaseLost


def hold(url: URL, project_id: int) -> AbstractContextManager[Lease | None]:
    """Holds the lease of a project in the database of ``url``; None if it is held already. Does not wait."""
    if url.get_backend_name() == "postgresql":
        return _advisory(url, project_id)
    # beside the database: processes that share the one share the other
    return locked(Path(url.database or "").resolve().parent / "leases" / f"project-{project_id}")


class FileLease(Lease):
    """A lock on a file, which the kernel frees when the process ends."""

    def __init__(self, file: IO[str], path: Path) -> None:
        self._file = file
        self._path = path

    @property
    def lost(self) -> bool:
        """Whether the file was deleted: others then lock a new one."""
        try:
            return not os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except FileNotFoundError:
            return True


@contextmanager
def locked(path: Path) -> Iterator[Lease | None]:
    """Locks a file for all processes of this host that can open it; None if one has it already. Does not wait."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a") as file, held(file, wait=False) as is_ours:
        yield FileLease(file, path) if is_ours else None


class AdvisoryLease(Lease):
    """A lock of a PostgreSQL session, which ends with its connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lost = False

    @property
    def lost(self) -> bool:
        """Whether the connection is lost. Once it is, the lease stays lost: SQLAlchemy would open another session."""
        if not self._lost:
            try:
                self._connection.exec_driver_sql("SELECT 1")
            except DBAPIError as error:
                self._lost = True
                log.warning("The connection that holds a project's lease is lost: %s", error.orig)
        return self._lost


@contextmanager
def _advisory(url: URL, project_id: int) -> Iterator[Lease | None]:
    """Needs a session of its own from end to end: a pooler that shares sessions between transactions must not be in between."""
    ours: dict[str, Any] = OUR_KEEPALIVES if url.get_driver_name().startswith("psycopg") else {}
    options: dict[str, Any] = {"poolclass": NullPool, "pool_reset_on_return": None, "hide_parameters": True}
    engine = create_engine(url, isolation_level="AUTOCOMMIT", connect_args=ours, **options)
    key = int.from_bytes(hashlib.sha256(f"pt4al project {project_id}".encode()).digest()[:8], signed=True)
    with engine.connect() as connection:
        for name, value in KEEPALIVES.items():
            connection.exec_driver_sql(f"SET {name} = {value}")
        taken = connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({key})").scalar()
        try:
            yield AdvisoryLease(connection) if taken else None
        finally:
            # before closing, which the server notices a moment later: until then a request would find the project held,
            # and nobody would handle it
            with suppress(SQLAlchemyError):
                connection.exec_driver_sql(f"SELECT pg_advisory_unlock({key})")
