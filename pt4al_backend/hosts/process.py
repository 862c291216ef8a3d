"""The backend of a process that another server hosts."""

import logging
from functools import lru_cache

from pt4al_backend.config import server_settings
from pt4al_backend.config.environment import misspelt
from pt4al_backend.server.backend import Backend

log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def hosted() -> Backend:
    """The backend that all models of this process share: opened once, from the environment."""
    for sentence in misspelt():
        log.warning("%s", sentence)
    return Backend.open(server_settings())
