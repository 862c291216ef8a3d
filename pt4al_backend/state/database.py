"""The database below the store: how SQLite and PostgreSQL are opened, migrated, read and written.

Large writes go in slices of ``SLICE`` rows where nothing depends on their being one, so that on SQLite no writer holds the
file for more than some milliseconds.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from pt4al_backend.state.schema import Base

SLICE = 500

T = TypeVar("T")

#: What people write for a database of PostgreSQL, and the dialect of the driver that the extra ``postgresql`` installs.
POSTGRESQL, PSYCOPG = ("postgresql://", "postgres://"), "postgresql+psycopg://"


def engine(url: str) -> Engine:
    """Opens a database. On SQLite, connections with the execution option ``writes`` take the write lock at once."""
    for scheme in POSTGRESQL:
        if url.startswith(scheme):
            url = PSYCOPG + url.removeprefix(scheme)
    opened = create_engine(url, pool_pre_ping=True, hide_parameters=True)  # a parameter may be a token
    if opened.dialect.name == "sqlite":

        @event.listens_for(opened, "connect")
        def _on_connect(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # SQLAlchemy's begin event, not the driver, opens transactions
            cursor = connection.cursor()
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=30000", "foreign_keys=ON"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        @event.listens_for(opened, "begin")
        def _on_begin(connection: Connection) -> None:
            # a transaction that reads first and writes later would fail, not wait, when another writer was quicker
            writes = connection.get_execution_options().get("writes", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        @event.listens_for(opened, "handle_error")
        def _on_error(context: ExceptionContext) -> None:
            # SQLite opened the file while its disk was read-only, and would keep to that when it no longer is
            if "readonly database" in str(context.original_exception):
                context.is_disconnect = True

    return opened


def migrate(writer: Engine) -> None:
    """Brings the tables to the newest migration. Several processes may start at once: the first one migrates."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with writer.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(76480401)")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def sliced(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cuts a sequence into parts of at most ``SLICE``."""
    for start in range(0, len(items), SLICE):
        yield items[start : start + SLICE]


class Database:
    """Sessions for reading and for writing. Safe to share between threads."""

    def __init__(self, url: str) -> None:
        self._reader = engine(url)
        self._writer = self._reader.execution_options(writes=True)

    def migrate(self) -> None:
        """Brings the tables to the newest migration."""
        migrate(self._writer)

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


def insertion(session: Session, table: type[Base]) -> Any:
    """An INSERT that can say what is done with rows that are there already; SQLite and PostgreSQL write it alike."""
    dialect: Any = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    return dialect.insert(table)
