"""Real servers for tests: started on free ports, awaited by polling, ended with all their processes."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import requests

REPOSITORY = Path(__file__).resolve().parents[2]

#: Seconds that a server gets to come up: the first start of Label Studio migrates its database, 20 s on an idle machine.
START_SECONDS = 180.0

T = TypeVar("T")


def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until(predicate: Callable[[], T], timeout: float, what: str) -> T:
    """Asks ``predicate`` until its answer is true, and returns that.

    Raises:
        AssertionError: ``what`` did not come about within ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    pause = 0.02
    while not (answer := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what} (last answer: {answer!r})")
        time.sleep(pause)
        pause = min(pause * 1.3, 0.5)
    return answer


class Server:
    """A command that listens on a port: started in its own process group, its output in a file."""

    def __init__(self, name: str, command: list[str], url: str, folder: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.url = url
        self.folder = folder
        self.log = folder / f"{name}.log"
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id, which is the process group's as well."""
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    def start(self) -> None:
        """Starts the command, and returns when it answers /health."""
        assert self._process is None, f"{self.name} is already running"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self._environment,
                start_new_session=True,
            )
        try:
            wait_until(self.is_up, START_SECONDS, f"{self.name} answers {self.url}/health")
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Asks the command to end, and insists after 15 s."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the command and its children at once."""
        self._end(signal.SIGKILL)

    def tail(self, lines: int = 30) -> str:
        """The end of the output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def is_up(self) -> bool:
        """Whether it answers; fails if it has ended."""
        self.check()
        try:
            return requests.get(f"{self.url}/health", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def check(self) -> None:
        """Fails if the command has ended by itself."""
        assert self._process is not None, f"{self.name} is not running"
        assert self._process.poll() is None, f"{self.name} ended with {self._process.returncode}:\n{self.tail()}"

    def kill_alone(self) -> None:
        """Ends the command at once, and leaves its children behind."""
        os.kill(self.pid, signal.SIGKILL)
        assert self._process is not None
        self._process.wait(15)
        self._process = None

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        _signal_group(process.pid, how)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            _signal_group(process.pid, signal.SIGKILL)
            process.wait(15)
        _signal_group(process.pid, signal.SIGKILL)  # children that outlived the command


def _signal_group(group: int, how: signal.Signals) -> None:
    try:
        os.killpg(group, how)
    except ProcessLookupError:
        return


class LabelStudioServer(Server):
    """Label Studio on SQLite, without a request to the internet, with one admin.

    Args:
        folder: takes data and log.
        template: data of a Label Studio that has run before, which spares the migrations.
        settings: environment variables beside or instead of those below.
    """

    email = "admin@example.com"
    password = "a-long-password-1"
    token = "0123456789abcdef0123456789abcdef01234567"

    def __init__(self, folder: Path, *, template: Path | None = None, settings: dict[str, str] | None = None) -> None:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        self.data = folder / "data"
        if template is not None:
            shutil.copytree(template, self.data)
        self.data.mkdir(parents=True, exist_ok=True)
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("LABEL_STUDIO_", "PT4AL_", "PYTHON"))}
        environment = {
            **inherited,
            "HOME": str(folder),
            "PYTHONUNBUFFERED": "1",
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.data),
            "LABEL_STUDIO_HOST": url,
            "LABEL_STUDIO_USERNAME": self.email,
            "LABEL_STUDIO_PASSWORD": self.password,
            "LABEL_STUDIO_USER_TOKEN": self.token,
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
            # Without these it asks the internet for versions and reports errors to its makers.
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
            # Both are needed for a backend on this machine: one guards its URL, the other its webhook.
            "ML_BLOCK_LOCAL_IP": "false",
            "SSRF_PROTECTION_ENABLED": "false",
            **(settings or {}),
        }
        arguments = ["start", "--no-browser", "--port", str(port), "--internal-host", "127.0.0.1"]
        super().__init__("label-studio", [str(label_studio_command()), *arguments], url, folder, environment)


def label_studio_command() -> Path:
    """The ``label-studio`` that tests start: beside the interpreter LABEL_STUDIO_PYTHON, or of ``make setup``."""
    python = os.environ.get("LABEL_STUDIO_PYTHON")
    folder = Path(python).absolute().parent if python else REPOSITORY / ".venv-label-studio" / "bin"
    return folder / "label-studio"


@dataclass(frozen=True)
class Request:
    """What a stub was asked."""

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
    """What a stub answers: JSON, unless ``body`` is text already."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def stub_server(answer: Callable[[Request], Reply]) -> Iterator[tuple[str, list[Request]]]:
    """Serves what ``answer`` says on a free port; gives its URL and the list of requests as they come."""
    requests_seen: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Request(self.command, self.path, dict(self.headers), body)
            requests_seen.append(request)
            reply = answer(request)
            is_text = isinstance(reply.body, str)
            content = (reply.body if is_text else json.dumps(reply.body)).encode()
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(content)))
            for name, value in {"Content-Type": "text/html" if is_text else "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests_seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
