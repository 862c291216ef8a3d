"""An app on a state of its own, and a client of it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from pt4al_backend.config import ServerSettings
from pt4al_backend.server.app import create_app
from pt4al_backend.state.store import Store
from tests.support.web_client import Client, RecordingQueue


@pytest.fixture
def store(settings: ServerSettings, empty_state: Path) -> Iterator[Store]:
    settings.data_dir.mkdir()
    path = shutil.copy(empty_state, settings.data_dir)
    opened = Store(f"sqlite:///{path}")
    yield opened
    opened.close()


@pytest.fixture
def queue() -> RecordingQueue:
    return RecordingQueue()


@pytest.fixture
def connect_client(settings: ServerSettings, store: Store, queue: RecordingQueue) -> Iterator[Callable[..., Client]]:
    """Makes clients of apps; keyword arguments are settings, ``auth`` goes to the client."""
    with start_blocking_portal() as portal:

        def make(auth: tuple[str, str] | None = None, **changes: Any) -> Client:
            known_as = {"allowed_hosts": "backend", **changes}
            return Client(create_app(settings.model_copy(update=known_as), store, queue), portal, auth=auth)

        yield make


@pytest.fixture
def client(connect_client: Callable[..., Client]) -> Client:
    return connect_client()
