"""A client that talks to an app in this process, and a queue that keeps its requests."""

from functools import partial
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal
from fastapi import FastAPI

from pt4al_backend.engine.work_queue import WorkQueue


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

    def page(self, url: str, **options: Any) -> httpx.Response:
        """As a browser requests it."""
        return self.get(url, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}, **options)
