"""The backend that the models of a process share, where label-studio-ml makes a model for each request."""

import logging
from threading import Lock

from pt4al_backend.config import server_settings
from pt4al_backend.config.environment import misspelt
from pt4al_backend.engine.work_queue import WorkQueue
from pt4al_backend.server.backend import Backend
from pt4al_backend.state.opening import open_store

log = logging.getLogger(__name__)

_lock = Lock()
_opened: list[Backend] = []  # at most one


def hosted() -> Backend:
    """The backend of this process, opened once from the environment; where that fails, the next call tries again.

    Raises:
        ConfigError: a setting has a value that is not allowed, or the state cannot be opened.
    """
    with _lock:
        if not _opened:
            settings = server_settings()
            for sentence in misspelt():
                log.warning("%s", sentence)
            _opened.append(Backend(settings, open_store(settings), WorkQueue(settings)))
        return _opened[0]


def close() -> None:
    """Closes the backend of this process, if it is open."""
    with _lock:
        while _opened:
            _opened.pop().close()
