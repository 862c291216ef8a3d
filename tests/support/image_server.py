"""Web servers of images that behave, and misbehave, as a test says."""

import http.server
import ssl
import threading
from collections.abc import Callable
from email.message import Message
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from pt4al_backend.config import ServerSettings
from pt4al_backend.images.fetch import Fetcher

IMAGE = b"the image's bytes"
TOKEN = {"Authorization": "Token secret-token"}
Handler = http.server.BaseHTTPRequestHandler
Answer = Callable[[Handler], None]


class Server:
    """An HTTP server on 127.0.0.1 that answers by path and keeps what it was asked."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, Answer] = {"/health": reply(b"{}")}
        self.asked: list[tuple[str, Message]] = []
        self.connections: set[Any] = set()
        self.over = threading.Event()
        outer = self

        class Handling(Handler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else each body waits 40 ms for the acknowledgement of its headers

            def do_GET(self) -> None:
                outer.asked.append((self.path, self.headers))
                outer.connections.add(self.client_address)
                answer = outer.answers.get(self.path.partition("?")[0], reply(b"", 404))
                try:
                    answer(self)
                except OSError:
                    self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handling)
        if context:
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
            self.http.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.port = self.http.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.over.set()
        self.http.shutdown()
        self.http.server_close()

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def tokens(self) -> list[str | None]:
        return [headers["Authorization"] for _, headers in self.asked]

    def drip(self, piece: bytes) -> Answer:
        """Sends a piece twenty times a second, until the test is over; an empty one keeps silent."""

        def answer(handler: Handler) -> None:
            while not self.over.wait(0.05):
                handler.wfile.write(piece)
            handler.close_connection = True

        return answer


def reply(body: bytes = IMAGE, status: int = 200, **headers: str) -> Answer:
    def answer(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


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

    def server(self, context: ssl.SSLContext | None = None) -> Server:
        server = Server(context)
        self._open.append(server)
        return server

    def fetcher(self, url: str = "", hostnames: tuple[str, ...] = (), authorize: Any = None, **settings: Any) -> Fetcher:
        """A fetcher that lets 127.0.0.1 pass, unless ``settings`` say otherwise."""
        limits = {"image_seconds": 10.0, "image_hosts": "127.0.0.1", **settings}
        authorize = authorize or (lambda refresh=False: TOKEN)
        fetcher = Fetcher(ServerSettings(**limits), url or self.label_studio.url, authorize, hostnames)
        self._open.append(fetcher)
        return fetcher
