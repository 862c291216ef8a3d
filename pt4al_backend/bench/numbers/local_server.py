"""A web server on this machine that answers with a function, for measurements and tests."""

import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Handler = BaseHTTPRequestHandler
Answer = Callable[[Handler], None]


class LocalServer:
    """Runs from its making until it is closed, which the end of its context does too.

    Args:
        answer: sends the response to a request of any method.
        tls: serves HTTPS with it.
        keep_alive: whether a connection takes several requests.
    """

    def __init__(self, answer: Answer, *, tls: ssl.SSLContext | None = None, keep_alive: bool = True) -> None:
        class Answering(Handler):
            protocol_version = "HTTP/1.1" if keep_alive else "HTTP/1.0"
            disable_nagle_algorithm = True  # else each body waits 40 ms for the acknowledgement of its headers

            def _answer(self) -> None:
                try:
                    answer(self)
                except OSError:  # the client is gone
                    self.close_connection = True

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer

            def log_message(self, *_: Any) -> None:
                return

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        if tls:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
            self._http.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that refuse the certificate
        self.port = self._http.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Takes no further connection."""
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def body_of(handler: Handler) -> bytes:
    """The body of a request."""
    return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))


def respond(handler: Handler, status: int, body: bytes, **headers: str) -> None:
    """Sends a whole response; an underscore in a header's name stands for a hyphen."""
    handler.send_response(status)
    for name, value in {"Content_Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)
