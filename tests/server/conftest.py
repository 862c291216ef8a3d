"""An app on a state of its own, a client that talks to it in this process, and a queue that keeps its requests."""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI

from pt4al_backend.config import ServerSettings, server_settings
from pt4al_backend.engine.work_queue import WorkQueue
from pt4al_backend.server.app import create_app
from pt4al_backend.state.store import Store


class RecordingQueue(WorkQueue):
    """A queue that keeps its requests, which are projects."""

    def __init__(self) -> None:
        self.requests: list[int] = []

    def request(self, project_id: int) -> None:
        self.requests.append(project_id)

    def waiting(self) -> int:
        return len(self.requests)


class Client:
    """Sends requests to an app, in one event loop of its own."""

    def __init__(self, app: FastAPI, portal: BlockingPortal, **options: Any) -> None:
        self.app = app
        self._portal = portal
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://backend", **options)

    def get(self, url: str, **options: Any) -> httpx.Response:
        return self._portal.call(partial(self._client.get, url, **options))

    def post(self, url: str, **options: Any) -> httpx.Response:
        return self._portal.call(partial(self._client.post, url, **options))

    def page(self, url: str) -> httpx.Response:
        """As a browser requests it."""
        return self.get(url, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})


@pytest.fixture(scope="session")
def empty_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated state, made once: the migrations have tests of their own."""
    folder = tmp_path_factory.mktemp("empty-state")
    Store.open(server_settings(data_dir=folder)).close()
    return folder / "state.sqlite3"


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
