"""The state that the settings name, opened for the commands: what goes wrong says what to change, and shows no password."""

import errno
import sqlite3
import time

from alembic.util import CommandError
from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError

from pt4al_backend.config import ServerSettings
from pt4al_backend.errors import ConfigError
from pt4al_backend.state.outage import RETRY_SECONDS, Outage
from pt4al_backend.state.store import REMEDY, Store


class StateAway(ConfigError):
    """The state does not answer now, and may do so later: its database is stopped, or its disk is full or read-only."""

    status = 503


DAMAGED = (
    "Restore the backup of PT4AL_DATA_DIR. Without one, stop the backend, delete {path}, {path}-wal and {path}-shm, start it, "
    "and save the connection again in Label Studio, Settings > Model: labels are read from there."
)


def open_store(settings: ServerSettings) -> Store:
    """Opens the state, and migrates it to this version.

    Raises:
        StateAway: it may be opened later.
        ConfigError: it cannot be opened. Messages of libraries are left out, as they may quote the database's password.
        OSError: the data folder cannot be made.
    """
    try:
        return Store.open(settings)
    except ModuleNotFoundError as error:
        if not settings.database_url.startswith("postgres"):
            raise ConfigError(
                "PT4AL_DATABASE_URL names a database that is neither PostgreSQL nor SQLite.",
                "Begin it with postgresql://, or unset it: the state is then in PT4AL_DATA_DIR.",
            ) from None
        raise ConfigError(
            f"PT4AL_DATABASE_URL names a database whose driver, {error.name}, is not installed.",
            "Install it: pip install 'pt4al-backend[postgresql]'.",
        ) from None
    except CommandError:
        raise ConfigError(
            "The state was written by another version of PT4AL, whose tables this one does not know.",
            "Install that version or a newer one, or restore the backup that you made before the upgrade.",
        ) from None
    except DatabaseError as error:
        message, remedy = f"The state cannot be opened ({type(error).__name__}).", _place(settings)
        if isinstance(error, OperationalError):
            raise StateAway(message, remedy) from error
        if isinstance(error.orig, sqlite3.DatabaseError) and "not a database" in str(error.orig):
            message, remedy = "The file of the state is damaged.", DAMAGED.format(path=settings.data_dir / "state.sqlite3")
        raise ConfigError(message, remedy) from None
    except SQLAlchemyError as error:
        raise ConfigError(f"The state cannot be opened ({type(error).__name__}).", _place(settings)) from None


def _place(settings: ServerSettings) -> str:
    if settings.database_url:
        return "Check PT4AL_DATABASE_URL: that the database runs at its address, and takes its user and password."
    return f"Check PT4AL_DATA_DIR, the folder {settings.data_dir}."


def wait_for_store(settings: ServerSettings) -> Store:
    """Opens the state, and waits for as long as it is away.

    Raises:
        ConfigError: waiting does not help.
        OSError: the data folder cannot be made.
    """
    outage = Outage("The state")
    while True:
        try:
            store = open_store(settings)
        except StateAway as error:
            cause = error.__cause__
            outage.note(cause if isinstance(cause, Exception) else error, REMEDY)
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE):
                raise
            outage.note(error, REMEDY)
        else:
            outage.over()
            return store
        time.sleep(RETRY_SECONDS)
