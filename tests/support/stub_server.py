"""A web server that answers with JSON or text, by a function of the request."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pt4al_backend.bench.numbers.local_server import Handler, LocalServer, body_of, respond


@dataclass(frozen=True)
class Request:
    """A request that the server received."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What it answers: JSON, unless ``body`` is text already."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def stub_server(answer: Callable[[Request], Reply]) -> Iterator[tuple[str, list[Request]]]:
    """Serves what ``answer`` says on a free port; gives its URL and the list of requests as they come."""
    received: list[Request] = []

    def respond_with(handler: Handler) -> None:
        request = Request(handler.command, handler.path, dict(handler.headers), body_of(handler))
        received.append(request)
        reply = answer(request)
        is_text = isinstance(reply.body, str)
        content = (reply.body if is_text else json.dumps(reply.body)).encode()
        headers = {"Content-Type": "text/html" if is_text else "application/json", **reply.headers}
        respond(handler, reply.status, content, **headers)

    with LocalServer(respond_with, keep_alive=False) as server:
        yield server.url, received
