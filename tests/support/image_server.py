"""Web servers that behave, and misbehave, as a test says: by path, with raw bytes and redirects; and fetchers of images."""

import ssl
import threading
from email.message import Message
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from pt4al_backend.bench.numbers.local_server import Answer, Handler, LocalServer, respond
from pt4al_backend.config import ServerSettings
from pt4al_backend.images.fetch import Fetcher

IMAGE = b"the image's bytes"
TOKEN = {"Authorization": "Token secret-token"}


class Server(LocalServer):
    """A web server that answers by path and keeps what was requested."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, Answer] = {"/health": reply(b"{}")}
        self.requests: list[tuple[str, Message]] = []
        self.connections: set[Any] = set()
        self.over = threading.Event()
        super().__init__(self._answer, tls=tls)

    def _answer(self, handler: Handler) -> None:
        self.requests.append((handler.path, handler.headers))
        self.connections.add(handler.client_address)
        self.answers.get(handler.path.partition("?")[0], reply(b"", 404))(handler)

    def close(self) -> None:
        self.over.set()
        super().close()

    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]

    def tokens(self) -> list[str | None]:
        return [headers["Authorization"] for _, headers in self.requests]

    def drip(self, piece: bytes) -> Answer:
        """Sends a piece twenty times a second, until the test is over; an empty one keeps silent."""

        def answer(handler: Handler) -> None:
            while not self.over.wait(0.05):
                handler.wfile.write(piece)
            handler.close_connection = True

        return answer


def reply(body: bytes = IMAGE, status: int = 200, **headers: str) -> Answer:
    return lambda handler: respond(handler, status, body, **headers)


def redirect(url: str, status: int = 302) -> Answer:
    return reply(b"", status, Location=url)


def raw(*pieces: bytes) -> Answer:
    def answer(handler: Handler) -> None:
        for piece in pieces:
            handler.wfile.write(piece)
        handler.close_connection = True

    return answer


class Web:
    """A Label Studio, another host, more on demand, and fetchers; everything is closed at the end."""

    def __init__(self) -> None:
        self._open: list[Server | Fetcher] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for each in reversed(self._open):
            each.close()

    @cached_property
    def label_studio(self) -> Server:
        return self.server()

    @cached_property
    def elsewhere(self) -> Server:
        return self.server()

    def server(self, tls: ssl.SSLContext | None = None) -> Server:
        server = Server(tls)
        self._open.append(server)
        return server

    def fetcher(
        self, url: str = "", hostnames: tuple[str, ...] = (), authorize: Any = None, find: Any = lambda _: None, **settings: Any
    ) -> Fetcher:
        """A fetcher that lets 127.0.0.1 pass, unless ``settings`` say otherwise."""
        limits = {"image_seconds": 10.0, "image_hosts": "127.0.0.1", **settings}
        authorize = authorize or (lambda refresh=False: TOKEN)
        fetcher = Fetcher(ServerSettings(**limits), url or self.label_studio.url, authorize, hostnames, find)
        self._open.append(fetcher)
        return fetcher
