"""A real PostgreSQL and a real Redis for tests and measurements, from Debian's packages, in a temporary folder."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pt4al_backend.demo.servers import free_port
from pt4al_backend.processes import wait_until

#: A program and its arguments.
Command = list[str | Path]


def postgresql_bin() -> Path | None:
    """Folder of the newest PostgreSQL server on this machine."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class PostgreSQL:
    """A cluster in a folder of its own, which may be stopped and started; ``url`` is the SQLAlchemy URL of an empty database.

    Not in pytest's temporary folder: each session of pytest closes that to other users, and PostgreSQL is one.
    """

    def __init__(self) -> None:
        programs = postgresql_bin()
        if programs is None:
            raise FileNotFoundError("PostgreSQL is not installed: run `make setup-system`.")
        self._folder = tempfile.TemporaryDirectory(prefix="pt4al-postgresql-")
        self._programs, self._port, self._data = programs, free_port(), Path(self._folder.name) / "data"
        # PostgreSQL refuses to run as root
        self._as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self._data.mkdir(parents=True)
        if self._as_user:
            Path(self._folder.name).chmod(0o755)
            shutil.chown(self._data, "postgres")
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        initdb: Command = [*self._as_user, programs / "initdb", "-D", self._data, *options]
        subprocess.run(initdb, check=True, capture_output=True, cwd="/")  # noqa: S603 - Debian's own programs
        self._server: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Returns once it takes connections."""
        where: Command = ["-D", self._data, "-p", str(self._port), "-c", "listen_addresses=127.0.0.1", "-k", self._data]
        command: Command = [*self._as_user, self._programs / "postgres", *where]
        self._server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")  # noqa: S603 - as above
        ready: Command = [self._programs / "pg_isready", "-h", "127.0.0.1", "-p", str(self._port), "-U", "postgres", "-q"]
        wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, 60, "PostgreSQL takes connections")  # noqa: S603 - as above

    def stop(self) -> None:
        """Ends it and its connections."""
        if self._server is not None:
            stop: Command = [*self._as_user, self._programs / "pg_ctl", "-D", self._data, "-m", "fast", "-w", "stop"]
            subprocess.run(stop, check=True, capture_output=True, cwd="/")  # noqa: S603 - as above
            self._server.wait(30)
            self._server = None

    def remove(self) -> None:
        """Ends it and deletes its data."""
        try:
            self.stop()
        finally:
            self._folder.cleanup()


@contextmanager
def postgresql() -> Iterator[str]:
    """Runs a cluster; gives the SQLAlchemy URL of an empty database."""
    server = PostgreSQL()
    try:
        server.start()
        yield server.url
    finally:
        server.remove()


class Redis:
    """A Redis without a disk, which may be stopped and started."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self._port, self._folder = port or free_port(), folder
        self._server: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Returns once it answers."""
        where: Command = ["--port", str(self._port), "--bind", "127.0.0.1", "--dir", self._folder]
        command: Command = ["redis-server", *where, "--save", "", "--appendonly", "no"]
        self._server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - as above
        wait_until(lambda: _answers_ping(self._port), 30, "Redis answers PING")

    def stop(self) -> None:
        """Ends it."""
        if self._server is not None:
            self._server.terminate()
            self._server.wait(30)
            self._server = None


@contextmanager
def redis(folder: Path, port: int | None = None) -> Iterator[str]:
    """Runs a Redis without a disk; gives its URL."""
    server = Redis(folder, port)
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


def _answers_ping(port: int) -> bool:
    try:
        with closing(socket.create_connection(("127.0.0.1", port), timeout=1)) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
