"""The database below the store: how SQLite and PostgreSQL are opened, and brought to this version's tables."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event

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
