"""The demo's servers: their ports, what reaches them, how they end."""

import os
import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
import requests

from pt4al_backend.demo.folder import fresh
from pt4al_backend.demo.servers import LabelStudio, Server, ServerFailed, backend, free_port, started
from pt4al_backend.errors import ConfigError
from tests.support.servers import wait_until


def test_port_in_use_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        other = free_port(port)
        assert other != port
        with socket.create_server(("127.0.0.1", other)):
            pass
    assert free_port(port) == port


def test_no_port_is_given_twice() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    found = [free_port(port) for _ in range(3)]
    assert len(set(found)) == 3


def test_missing_label_studio_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no-such-command"):
        LabelStudio(Path("no-such-command"), tmp_path, "ada@example.com", "secret")


def test_settings_of_other_installations_do_not_reach_the_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PT4AL_DATABASE_URL", "postgresql://production")
    monkeypatch.setenv("BASIC_AUTH_USER", "somebody")
    monkeypatch.setenv("PT4AL_SAMPLER", "margin")
    environment = backend(tmp_path, "http://127.0.0.1:8080", "token").environment
    assert "PT4AL_DATABASE_URL" not in environment
    assert "BASIC_AUTH_USER" not in environment
    assert environment["PT4AL_SAMPLER"] == "margin"


LISTENS = r"Listening on (\S+)\.\s"

#: Takes its port late: it goes to another one if that is taken, as Label Studio does, or ends, as the backend does.
LATE = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
try:
    server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
except OSError:
    if sys.argv[2] == "ends":
        raise
    server = HTTPServer(("127.0.0.1", 0), Handler)
print("Listening on %s:%s." % server.server_address, flush=True)
server.serve_forever()
"""


class Stranger(BaseHTTPRequestHandler):
    """Answers as a server of another installation does."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


@pytest.mark.parametrize("how", ["ends", "goes elsewhere"])
def test_stranger_at_the_port_is_not_taken_for_the_server(tmp_path: Path, how: str) -> None:
    stranger = ThreadingHTTPServer(("127.0.0.1", 0), Stranger)
    threading.Thread(target=stranger.serve_forever, daemon=True).start()
    ports = iter([stranger.server_port, free_port(9090)])

    def make() -> Server:
        port = next(ports)
        return Server("x", [sys.executable, "-c", LATE, str(port), how], port, tmp_path / "log.txt", os.environ, LISTENS)

    with fresh(tmp_path / "demo") as lock, started(make, lock, lambda _server: None) as server:
        assert server.url != f"http://127.0.0.1:{stranger.server_port}"
        assert requests.get(server.url, timeout=30).status_code == 200
    stranger.shutdown()
    stranger.server_close()


def test_server_that_ends_shows_the_end_of_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('the port is taken'); raise SystemExit(7)"]
    server = Server("The server", command, free_port(9090), tmp_path / "log.txt", os.environ, LISTENS)
    with fresh(tmp_path / "demo") as lock, pytest.raises(ServerFailed) as failed, server.running(lock):
        pass
    assert "status 7" in failed.value.message
    assert "the port is taken" in failed.value.remedy


DEMO = """
import os, sys, time
from pathlib import Path
from pt4al_backend.demo.folder import fresh
from pt4al_backend.demo.servers import Server
folder = Path(sys.argv[1])
command = [sys.executable, "-c", sys.argv[2], str(folder / "pids")]
with fresh(folder / "demo") as lock, Server("x", command, 1, folder / "log.txt", os.environ, "").running(lock):
    time.sleep(600)
"""

SERVER = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1] + ".new", "w").write(f"{os.getpid()} {child.pid}")
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_servers_and_their_children_end_with_the_demo(tmp_path: Path, how: signal.Signals) -> None:
    demo = subprocess.Popen([sys.executable, "-c", DEMO, str(tmp_path), SERVER])
    try:
        wait_until((tmp_path / "pids").exists, 60, "the server runs")
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        assert all(psutil.pid_exists(pid) for pid in pids)
    finally:
        demo.send_signal(how)
        demo.wait(60)
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids), 60, "all have ended")

    def free() -> bool:
        try:
            with fresh(tmp_path / "demo"):
                return True
        except ConfigError:
            return False

    wait_until(free, 60, "the folder is free for the next demo")
