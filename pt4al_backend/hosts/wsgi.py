"""The backend's own app inside a WSGI server, so that its routes, rules and answers are the same whoever hosts it.

label-studio-ml's routes would register a project before its extra params are checked, drop the address and the token of a
/setup, and answer a user's mistake with 500 and a traceback.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from http import HTTPStatus
from threading import Lock, Thread
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from pt4al_backend.config import ServerSettings
from pt4al_backend.server.app import create_app
from pt4al_backend.server.events import CAN_STREAM
from pt4al_backend.server.startup import WhenOpen
from pt4al_backend.state.opening import wait_for_store
from pt4al_backend.state.store import Store

log = logging.getLogger(__name__)

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], object]


class HostedApp:
    """The backend's app, called as WSGI asks for it. Each process that answers requests opens the state by itself.

    While the state is away, every answer is 503 with the reason; the app goes on by itself once it is back.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._lock = Lock()
        self._process = 0  # a server may fork after this module was imported: threads and connections stay behind
        self._store: Store | None = None
        self._app: WhenOpen
        self._loop: asyncio.AbstractEventLoop
        self._thread: Thread

    def begin(self) -> None:
        """Opens the state, and waits for it some seconds. Another call in the same process does nothing.

        Raises:
            ConfigError: the state cannot be opened, and waiting does not help.
        """
        with self._lock:
            if self._process == os.getpid():
                return
            self._app = WhenOpen(self._open, self._give_up)
            self._app.begin()
            if self._app.failure is not None:
                raise self._app.failure
            self._loop = asyncio.new_event_loop()
            self._thread = Thread(target=self._loop.run_forever, name="hosted app", daemon=True)
            self._thread.start()
            self._process = os.getpid()

    def close(self) -> None:
        """Closes the state, and ends the thread that answers."""
        with self._lock:
            if self._process == os.getpid():
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()
                self._loop.close()
                self._process = 0
            if self._store is not None:
                self._store.close()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self.begin()
        body = _body(environ, self._settings.webhook_max_bytes)
        exchange = _answer(self._app, _scope(environ), body)
        status, headers, answer = asyncio.run_coroutine_threadsafe(exchange, self._loop).result()
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [answer]

    def _open(self) -> ASGIApp:
        self._store = wait_for_store(self._settings)
        return create_app(self._settings, self._store)

    def _give_up(self) -> None:
        log.critical("The backend cannot answer: %s", self._app.failure)


def _body(environ: Environ, limit: int) -> bytes:
    """The request's body; empty if its announced length is over the limit, for which the app refuses it."""
    announced = environ.get("CONTENT_LENGTH") or ""
    length = int(announced) if announced.isdigit() and len(announced) < 20 else 0
    return bytes(environ["wsgi.input"].read(length)) if 0 < length <= limit else b""


def _scope(environ: Environ) -> Scope:
    """A request as ASGI describes it. WSGI's texts are bytes in disguise: Latin-1 gives them back."""
    headers = {name[5:]: value for name, value in environ.items() if name.startswith("HTTP_")}
    headers |= {name: environ[name] for name in ("CONTENT_TYPE", "CONTENT_LENGTH") if environ.get(name)}
    path = environ.get("PATH_INFO", "").encode("latin-1")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": environ["REQUEST_METHOD"],
        "scheme": environ.get("wsgi.url_scheme", "http"),
        "path": path.decode("utf-8", "replace"),
        "raw_path": path,
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
        "root_path": "",
        "headers": [(name.lower().replace("_", "-").encode(), str(value).encode("latin-1")) for name, value in headers.items()],
        "client": (environ.get("REMOTE_ADDR", ""), 0),
        "server": (environ.get("SERVER_NAME", ""), int(environ.get("SERVER_PORT") or 0)),
        CAN_STREAM: False,  # below, the whole of an answer is awaited
    }


async def _answer(app: ASGIApp, scope: Scope, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body of the app's answer."""
    parts: list[Message] = []
    requests: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if not requests:
            await asyncio.Event().wait()  # for ever: nobody leaves before the answer
        return requests.pop()

    async def send(message: Message) -> None:
        parts.append(message)

    await app(scope, receive, send)
    start, *rest = parts
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
    return start["status"], headers, b"".join(part.get("body", b"") for part in rest)
