"""Slow and silent clients on a real web process: /health stays alive, and their connections end."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
import requests

from pt4al_backend.demo.servers import free_port
from tests.support.servers import Server, wait_until

CROWD = 300
HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
BODY = b"POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"


class Web(Server):
    """`pt4al web` on a folder of its own, with few file descriptors."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url, self.address = f"http://127.0.0.1:{port}", ("127.0.0.1", port)
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PT4AL_", "BASIC_AUTH_"))}
        environment = {**inherited, "PT4AL_DATA_DIR": str(folder / "data"), "PT4AL_PORT": str(port)}
        command = [sys.executable, "-m", "pt4al_backend", "web"]
        super().__init__("web", ["bash", "-c", f"ulimit -n 450; exec {' '.join(command)}"], port, folder, environment)

    def connect(self, sent: bytes = b"") -> socket.socket:
        client = socket.create_connection(self.address, timeout=30)
        client.sendall(sent)
        return client

    def is_alive(self) -> bool:
        return requests.get(f"{self.url}/health", timeout=10).ok


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    server = Web(tmp_path)
    server.start()
    yield server
    server.stop()


def wait_for_close(client: socket.socket) -> None:
    """Reads until the server has closed the connection.

    Raises:
        TimeoutError: it does not.
    """
    client.settimeout(30)
    with suppress(ConnectionError):
        while client.recv(4096):
            pass


@pytest.mark.parametrize("sent", [b"", HEAD, BODY], ids=["silent", "slow head", "slow body"])
def test_health_stays_alive_beside_a_crowd_of_slow_clients(web: Web, sent: bytes) -> None:
    with ExitStack() as crowd:
        for number in range(3 * CROWD):
            client = crowd.enter_context(closing(web.connect()))
            try:
                client.sendall(sent)
            except ConnectionError:
                continue  # it had to make room already
            if number % 100 == 99:
                assert web.is_alive()
        assert web.is_alive()
    assert web.is_alive()
    assert len(web.output()) < 20_000


def test_connection_whose_request_does_not_come_is_closed(web: Web) -> None:
    with ExitStack() as clients:
        slow = [clients.enter_context(closing(web.connect(sent))) for sent in (b"", HEAD)]
        kept = clients.enter_context(closing(web.connect(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")))
        assert kept.recv(12) == b"HTTP/1.1 200"
        kept.sendall(HEAD)
        for client in (*slow, kept):
            wait_for_close(client)


def test_clients_that_leave_or_send_nonsense_leave_no_traceback(web: Web) -> None:
    for sent in (b"", HEAD, BODY, b"\x16\x03\x01\x02\x00", b"x" * 100_000, b"GET / HTTP/1.1\r\n\r\n", BODY[:-1]):
        for _ in range(20):
            with closing(web.connect()) as client, suppress(ConnectionError):
                client.sendall(sent)
    wait_until(web.is_alive, 30, "the backend answers")
    assert "Traceback" not in web.output()
    assert "ERROR" not in web.output()
    assert len(web.output()) < 20_000
