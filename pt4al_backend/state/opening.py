"""The state that the settings name, opened for the commands: what goes wrong says what to change, and shows no password."""

from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from pt4al_backend.config import ServerSettings
from pt4al_backend.errors import ConfigError
from pt4al_backend.state.store import Store


def open_store(settings: ServerSettings) -> Store:
    """Opens the state, and migrates it to this version.

    Raises:
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
    except SQLAlchemyError as error:
        remedy = f"Check PT4AL_DATA_DIR, the folder {settings.data_dir}."
        if settings.database_url:
            remedy = "Check PT4AL_DATABASE_URL: that the database runs at its address, and takes its user and password."
        raise ConfigError(f"The state cannot be opened ({type(error).__name__}).", remedy) from None
