"""A relay between the backend and Label Studio that notes when each request began and ended.

So the time that Label Studio takes is separated from the backend's own, without a word of instrumentation in the product.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

CONNECTION_ONLY = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "server", "date"}


@dataclass(frozen=True)
class Exchange:
    """One request: what was asked, and when it began and ended (seconds since 1970)."""

    method: str
    path: str
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long the answer took."""
        return self.ended - self.began


class Recorder:
    """The relay's address, and what has passed so far."""

    def __init__(self, url: str, exchanges: list[Exchange]) -> None:
        self.url = url
        self._exchanges = exchanges

    def between(self, began: float, ended: float) -> list[Exchange]:
        """Exchanges that lie within a stretch of time, in order."""
        return sorted((e for e in self._exchanges if e.began >= began and e.ended <= ended), key=lambda each: each.began)

    def last(self, method: str, path: str, since: float) -> Exchange | None:
        """The newest exchange of this kind that began after ``since``."""
        found = [e for e in self._exchanges if e.began >= since and e.method == method and e.path.split("?")[0] == path]
        return found[-1] if found else None


@contextmanager
def recorder(target: str) -> Iterator[Recorder]:
    """Relays everything to ``target``, an address of this machine."""
    host = urlsplit(target).netloc
    exchanges: list[Exchange] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            self._upstream = HTTPConnection(host, timeout=600)

        def finish(self) -> None:
            self._upstream.close()
            super().finish()

        def _relay(self) -> None:
            began = time.time()
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in CONNECTION_ONLY}
            self._upstream.request(self.command, self.path, body or None, headers)
            response = self._upstream.getresponse()
            content = response.read()
            exchanges.append(Exchange(self.command, self.path, began, time.time()))
            self.send_response_only(response.status, response.reason)
            for name, value in response.getheaders():
                if name.lower() not in CONNECTION_ONLY:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _relay

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Recorder(f"http://127.0.0.1:{server.server_port}", exchanges)
        server.shutdown()
