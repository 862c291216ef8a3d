"""The demo's two servers: Label Studio on SQLite, and the backend as ``pt4al start`` runs it."""

import os
import re
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import requests

from pt4al_backend.errors import ConfigError, PT4ALError

HOST = "127.0.0.1"
PREFERRED = {"label-studio": 8080, "backend": 9090}
NEIGHBOURS = 20  # ports tried above the preferred one before any free one is taken
START_SECONDS = 240.0  # Label Studio's first start migrates its database: 20 s on an idle machine
LOOK_SECONDS = 0.25
TAIL_LINES = 15
ATTEMPTS = 3  # ports tried for one server, if others take them while it starts
END_SECONDS = 30.0


#: How a server's log names the address that it listens on, once it does. This tells it from a stranger's that took the
#: port meanwhile, whose answer would look alike: the log is ours alone. That our process is alive would not tell: Label
#: Studio migrates its database for long before it takes its port, and goes to the next one if that is taken.
LABEL_STUDIO_LISTENS = r"Starting development server at http://(\S+)/"
BACKEND_LISTENS = r"Listening on (\S+)\.\s"

_given: set[int] = set()


class ServerFailed(PT4ALError):
    """A server did not come up, or ended."""


class PortTaken(ServerFailed):
    """Another program took the port while the server started."""


def free_port(preferred: int) -> int:
    """``preferred``, one of the next ports, or any, whichever first has nobody listening on it; none is given twice."""
    for port in [*range(preferred, preferred + NEIGHBOURS), *[0] * NEIGHBOURS]:
        if port in _given:
            continue
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do, or a port just left counts as taken
            try:
                listener.bind((HOST, port))
                listener.listen()
            except OSError:
                continue
            found = int(listener.getsockname()[1])
        if found not in _given:
            _given.add(found)
            return found
    raise ConfigError(f"No port of {HOST} is free.", "End what listens there.")


class Server:
    """A command that answers /health at ``port``, run under a guard (see ``guard``), its output in ``log``.

    ``listens`` is the pattern of the log's line that names the address it listens on, as its group.
    """

    def __init__(
        self, name: str, command: Sequence[str], port: int, log: Path, environment: Mapping[str, str], listens: str
    ) -> None:
        self.name = name
        self.url = f"http://{HOST}:{port}"
        self.log = log
        self._address = f"{HOST}:{port}"
        self._listens = listens
        self._log_start = 0  # where this run's part of the log begins
        self._command = [sys.executable, "-m", "pt4al_backend.demo.guard", *command]
        self.environment = dict(environment)
        self._guard: subprocess.Popen[bytes] | None = None

    @contextmanager
    def running(self, lock: IO[bytes]) -> Iterator["Server"]:
        """Runs it; ``lock`` stays held until it has ended. `wait` says when it answers."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._guard = subprocess.Popen(  # noqa: S603 - our own command
                self._command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.log.parent,
                env=self.environment,
                start_new_session=True,
                pass_fds=[lock.fileno()],
            )
        try:
            yield self
        finally:
            self._stop()

    def wait(self, on_look: Callable[[], None]) -> None:
        """Returns when it, and no other program, answers; ``on_look`` is called at each try.

        Raises:
            PortTaken: another program answers at its port.
            ServerFailed: with the end of its log.
        """
        deadline = time.monotonic() + START_SECONDS
        while not (self._is_listening() and self._answers()):
            on_look()
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.name} does not answer at {self.url} after {START_SECONDS:g} s.", self._tail())
            time.sleep(LOOK_SECONDS)
        self.check()

    def check(self) -> None:
        """Does nothing while it runs.

        Raises:
            ServerFailed: it has ended; with the end of its log.
        """
        if self._guard is not None and (status := self._guard.poll()) is not None:
            raise ServerFailed(f"{self.name} ended with status {status}.", self._tail())

    def _is_listening(self) -> bool:
        try:
            self.check()
        except ServerFailed as error:
            if self._answers():
                raise PortTaken(f"Another program took {self._address} while {self.name} started.", self._tail()) from error
            raise
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            addresses = re.findall(self._listens, log.read().decode(errors="replace"))
        if addresses and addresses[-1] != self._address:
            raise PortTaken(f"{self.name} listens on {addresses[-1]}: {self._address} was taken.", self._tail())
        return bool(addresses)

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/health", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def _tail(self) -> str:
        with self.log.open(errors="replace") as lines:
            last = "".join(deque(lines, TAIL_LINES))
        return f"The end of its log, {self.log}:\n{last}"

    def _stop(self) -> None:
        if self._guard is None or self._guard.stdin is None:
            return
        self._guard.stdin.close()
        try:
            self._guard.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()


@contextmanager
def started(make: Callable[[], Server], lock: IO[bytes], on_look: Callable[[Server], None]) -> Iterator[Server]:
    """Runs the server that ``make`` gives, until it answers; gives it. If its port is taken meanwhile, ``make`` is asked anew.

    Raises:
        ServerFailed: it does not come up, or each port was taken.
    """
    for left in reversed(range(ATTEMPTS)):
        server = make()
        with server.running(lock):
            try:
                server.wait(lambda: on_look(server))  # noqa: B023 - called before the next server
            except PortTaken:
                if not left:
                    raise
                continue
            yield server
            return


def label_studio(command: Path, folder: Path, email: str, password: str) -> Server:
    """Label Studio with its data below ``folder`` and one admin, whose account its first start makes.

    Raises:
        ConfigError: there is no such command.
    """
    found = _executable(command)
    port = free_port(PREFERRED["label-studio"])
    url = f"http://{HOST}:{port}"
    environment = {
        **_inherited(),
        "HOME": str(folder),
        "PYTHONUNBUFFERED": "1",
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
        "LABEL_STUDIO_HOST": url,
        "LABEL_STUDIO_USERNAME": email,
        "LABEL_STUDIO_PASSWORD": password,
        # Without these it asks the internet for versions, and reports errors to its makers.
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        # The backend is on this machine: one guards its URL against private addresses, the other its webhook.
        "ML_BLOCK_LOCAL_IP": "false",
        "SSRF_PROTECTION_ENABLED": "false",
    }
    arguments = ["start", "--no-browser", "--port", str(port), "--internal-host", HOST]
    return Server("Label Studio", [str(found), *arguments], port, folder / "log.txt", environment, LABEL_STUDIO_LISTENS)


def backend(folder: Path, label_studio_url: str, token: str, **settings: str) -> Server:
    """The backend on its embedded defaults, with its data in ``folder``; ``settings`` are other environment variables."""
    port = free_port(PREFERRED["backend"])
    environment = {
        **_inherited(),
        **_choices(),
        "PYTHONUNBUFFERED": "1",
        "LABEL_STUDIO_URL": label_studio_url,
        "LABEL_STUDIO_API_KEY": token,
        "PT4AL_DATA_DIR": str(folder),
        "PT4AL_HOST": HOST,
        "PT4AL_PORT": str(port),
        **settings,
    }
    command = [sys.executable, "-m", "pt4al_backend", "start"]
    return Server("The backend", command, port, folder / "log.txt", environment, BACKEND_LISTENS)


def _executable(command: Path) -> Path:
    if command.is_file() and os.access(command, os.X_OK):
        return command.absolute()
    folders = os.get_exec_path() if len(command.parts) == 1 else []
    for folder in folders:
        if os.access(Path(folder) / command, os.X_OK):
            return Path(folder) / command
    raise ConfigError(f"There is no {command} to start Label Studio with.", "`make demo` installs it; or give --label-studio.")


def _inherited() -> dict[str, str]:
    """The environment without what is meant for other installations of the two, and for other interpreters."""
    foreign = ("LABEL_STUDIO_", "PT4AL_", "BASIC_AUTH_", "PYTHON", "DJANGO_", "POSTGRE_", "REDIS_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def _choices() -> dict[str, str]:
    """Settings of the environment that the demo lets through: how to learn, not where things are."""
    from pt4al_backend.config import ProjectSettings

    names = {f"PT4AL_{name.upper()}" for name in [*ProjectSettings.model_fields, "device", "pretrained"]}
    return {name: value for name, value in os.environ.items() if name in names}
