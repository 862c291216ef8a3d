"""The two servers of the demo, the benchmark of numbers and the tests: Label Studio on SQLite, and the backend."""

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

from pt4al_backend import processes
from pt4al_backend.config import ProjectSettings
from pt4al_backend.errors import ConfigError, PT4ALError
from pt4al_backend.processes import ProcessGroup

HOST = "127.0.0.1"
NEIGHBOURS = 20  # ports tried above the preferred one before any free one is taken
START_SECONDS = 240.0  # Label Studio's first start migrates its database: 20 s on an idle machine
LOOK_SECONDS = 0.25
TAIL_LINES = 15
ATTEMPTS = 3  # ports tried for one server, if others take them while it starts
END_SECONDS = 30.0  # the guard takes up to 20

#: How a server's log names the address that it listens on, once it does. This distinguishes it from a stranger's that took
#: the port meanwhile, and answers alike: the log is ours alone. That our process is alive is not enough: Label Studio
#: migrates its database for long before it takes its port, and goes to the next one if that is taken.
LABEL_STUDIO_LISTENS = r"Starting development server at http://(\S+)/"
BACKEND_LISTENS = r"Listening on (\S+)\.\s"

_given: set[int] = set()


class ServerFailed(PT4ALError):
    """A server did not come up, or ended."""


class PortTaken(ServerFailed):
    """Another program took the port while the server started."""


def free_port(preferred: int = 0) -> int:
    """A TCP port of `HOST` that nobody listens on; none is given twice.

    ``preferred``, one of the next ports, or any, whichever is free first; 0: any.
    """
    near = range(preferred, preferred + NEIGHBOURS) if preferred else ()
    for port in [*near, *[0] * NEIGHBOURS]:
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
    """A command that answers /health at ``port``, its output in ``log``; started again, it listens at the same port.

    Args:
        name: what messages call it.
        command: the command line.
        port: of `HOST`, where it listens.
        log: takes its output; it runs in that folder.
        environment: all of its environment.
        listens: pattern of the log's line that names the address it listens on, as its group; "" if it logs none.
        guarded: whether it runs under `processes.guard`, so that it ends with this process even by ``kill -9``.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        port: int,
        log: Path,
        environment: Mapping[str, str],
        listens: str = "",
        *,
        guarded: bool = True,
    ) -> None:
        self.name = name
        self.url = f"http://{HOST}:{port}"
        self.log = log
        self.environment = dict(environment)
        self._address = f"{HOST}:{port}"
        self._listens = listens
        self._log_start = 0  # where this run's part of the log begins
        # By its file and isolated: the guard must not depend on a path for modules that is meant for the command.
        guard = [sys.executable, "-I", processes.__file__] if guarded else []
        self._command = [*guard, *command]
        self._guarded = guarded
        self._group: ProcessGroup | None = None

    def start(self, lock: IO[bytes] | None = None, on_wait: Callable[[], None] | None = None) -> None:
        """Starts it, and returns when it, and no other program, answers.

        Args:
            lock: stays held until it has ended.
            on_wait: called before each further try.

        Raises:
            PortTaken: another program answers at its port.
            ServerFailed: it ended, or does not answer in time; with the end of its log.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._group = ProcessGroup(
                self._command,
                stdin=subprocess.PIPE if self._guarded else subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.log.parent,
                env=self.environment,
                pass_fds=[lock.fileno()] if lock else [],
            )
        try:
            self._wait(on_wait)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Asks it to end, and kills it after `END_SECONDS`; does nothing if it does not run."""
        group, self._group = self._group, None
        if group is not None:
            group.end(END_SECONDS)

    @contextmanager
    def running(self, lock: IO[bytes], on_wait: Callable[[], None] | None = None) -> Iterator["Server"]:
        """Runs it as long as the context is open; see `start`."""
        self.start(lock, on_wait)
        try:
            yield self
        finally:
            self.stop()

    def check(self) -> None:
        """Does nothing while it runs.

        Raises:
            ServerFailed: it has ended, with the end of its log; or it was never started.
        """
        if self._group is None:
            raise ServerFailed(f"{self.name} is not running.")
        status = self._group.poll()
        if status is not None:
            raise ServerFailed(f"{self.name} ended with status {status}.", self._log_end())

    def is_up(self) -> bool:
        """Whether it, and no other program, answers.

        Raises:
            PortTaken: another program answers at its port.
            ServerFailed: it has ended; with the end of its log.
        """
        return self._is_listening() and self._answers()

    def output(self) -> str:
        """What it has written since its last start."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines of its log."""
        with self.log.open(errors="replace") as log:
            return "".join(deque(log, lines))

    def _wait(self, on_wait: Callable[[], None] | None) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.is_up():
            if on_wait is not None:
                on_wait()
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.name} does not answer at {self.url} after {START_SECONDS:g} s.", self._log_end())
            time.sleep(LOOK_SECONDS)
        self.check()

    def _is_listening(self) -> bool:
        try:
            self.check()
        except ServerFailed as error:
            if self._answers():
                raise PortTaken(f"Another program took {self._address} while {self.name} started.", self._log_end()) from error
            raise
        if not self._listens:
            return True
        addresses = re.findall(self._listens, self.output())
        if addresses and addresses[-1] != self._address:
            raise PortTaken(f"{self.name} listens on {addresses[-1]}: {self._address} was taken.", self._log_end())
        return bool(addresses)

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/health", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def _log_end(self) -> str:
        return f"The end of its log, {self.log}:\n{self.tail()}"


@contextmanager
def started(make: Callable[[], Server], lock: IO[bytes], on_wait: Callable[[Server], None]) -> Iterator[Server]:
    """Runs the server that ``make`` gives, until it answers; gives it. If its port is taken meanwhile, ``make`` is called again.

    Raises:
        ServerFailed: it does not come up, or each port was taken.
    """
    for left in reversed(range(ATTEMPTS)):
        server = make()
        try:
            server.start(lock, lambda: on_wait(server))  # noqa: B023 - called before the next server
        except PortTaken:
            if not left:
                raise
            continue
        try:
            yield server
        finally:
            server.stop()
        return


class LabelStudio(Server):
    """Label Studio on SQLite, without a request to the internet, with one admin, whose account its first start makes.

    Args:
        command: the ``label-studio`` command.
        folder: takes its data, its home and its log.
        email: of the admin.
        password: of the admin.
        preferred: the port that is taken if it is free; 0: any.
        settings: environment variables beside or instead of those below.
        guarded: as in `Server`.

    Raises:
        ConfigError: there is no such command.
    """

    def __init__(
        self,
        command: Path,
        folder: Path,
        email: str,
        password: str,
        *,
        preferred: int = 8080,
        settings: Mapping[str, str] | None = None,
        guarded: bool = True,
    ) -> None:
        executable = _executable(command)
        port = free_port(preferred)
        self.data = folder / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        environment = {
            **_inherited(),
            "HOME": str(folder),
            "PYTHONUNBUFFERED": "1",
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.data),
            "LABEL_STUDIO_HOST": f"http://{HOST}:{port}",
            "LABEL_STUDIO_USERNAME": email,
            "LABEL_STUDIO_PASSWORD": password,
            # Without these it looks up versions on the internet, and reports errors to its makers.
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
            # The backend is on this machine: one guards its URL against private addresses, the other its webhook.
            "ML_BLOCK_LOCAL_IP": "false",
            "SSRF_PROTECTION_ENABLED": "false",
            **(settings or {}),
        }
        arguments = ["start", "--no-browser", "--port", str(port), "--internal-host", HOST]
        start = [str(executable), *arguments]
        super().__init__("Label Studio", start, port, folder / "log.txt", environment, LABEL_STUDIO_LISTENS, guarded=guarded)


def backend(folder: Path, label_studio_url: str, token: str, **settings: str) -> Server:
    """The backend on its embedded defaults, with its data in ``folder``; ``settings`` are other environment variables."""
    port = free_port(9090)
    modules = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}  # it runs on this interpreter
    environment = {
        **_inherited(),
        **_learning_settings(),
        **modules,
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


def _learning_settings() -> dict[str, str]:
    """Settings of the environment that the demo lets through: how to learn, not where things are."""
    names = {f"PT4AL_{name.upper()}" for name in [*ProjectSettings.model_fields, "device", "pretrained"]}
    return {name: value for name, value in os.environ.items() if name in names}
