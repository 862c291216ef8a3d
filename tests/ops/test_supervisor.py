"""``pt4al start`` as processes: what is killed comes back, and what ends takes everything with it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import requests

from pt4al_backend.config import ServerSettings
from pt4al_backend.demo.servers import free_port
from pt4al_backend.engine.work_queue import WorkQueue
from pt4al_backend.ops import doctor, supervisor
from pt4al_backend.ops.supervisor import Supervisor
from pt4al_backend.state.store import Store
from tests.support.servers import wait_until

SECONDS = 60.0


class Started:
    """A running ``pt4al start`` with its log."""

    def __init__(self, settings: ServerSettings) -> None:
        self.url = f"http://127.0.0.1:{settings.port}"
        self.log = settings.data_dir.parent / "start.log"
        environment = {
            **os.environ,
            "PT4AL_DATA_DIR": str(settings.data_dir),
            "PT4AL_PORT": str(settings.port),
            "OMP_NUM_THREADS": "1",
        }
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "pt4al_backend", "start"]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, env=environment)

    def child(self, name: str) -> int:
        """Process id of the web process or the worker; 0 while there is none."""
        try:
            children = psutil.Process(self.process.pid).children()
            return next((child.pid for child in children if name in child.cmdline()), 0)
        except psutil.NoSuchProcess:
            return 0

    def replaced(self, name: str, old: int) -> int:
        """Awaits another process in place of ``old``."""
        return wait_until(lambda: (pid := self.child(name)) != old and pid, SECONDS, f"another {name} process")

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return requests.get(f"{self.url}/health", timeout=2).ok
        except requests.RequestException:
            return False

    def await_answer(self) -> None:
        wait_until(self.answers, SECONDS, "the web process answers")


@pytest.fixture
def settings(tmp_path: Path) -> ServerSettings:
    return ServerSettings(data_dir=tmp_path / "data", port=free_port(), device="cpu", pretrained="off")


@pytest.fixture
def started(settings: ServerSettings) -> Iterator[Started]:
    running = Started(settings)
    yield running
    running.process.kill()
    running.process.wait()


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_killed_processes_come_back_and_sigterm_ends_all(started: Started, settings: ServerSettings) -> None:
    started.await_answer()
    web, worker = started.child("web"), started.child("worker")
    os.kill(web, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    web, worker = started.replaced("web", web), started.replaced("worker", worker)
    started.await_answer()
    store = Store.open(settings)
    store.connect(3, title="Kittens")
    WorkQueue(settings).request(3)
    requested = lambda: (project := store.project(3)) and project.requests > 0  # noqa: E731
    wait_until(requested, SECONDS, "the new worker takes a request")
    assert next(finding for finding in doctor.examine(settings) if finding.topic == "Worker").level == "ok"

    started.process.terminate()
    assert started.process.wait(SECONDS) == 0
    assert is_gone(web)
    assert is_gone(worker)


def test_nothing_outlives_a_killed_supervisor(started: Started) -> None:
    started.await_answer()
    children = [started.child("web"), started.child("worker")]
    started.process.kill()
    started.process.wait()
    for pid in children:
        wait_until(lambda pid=pid: is_gone(pid), SECONDS, "the child notices")  # type: ignore[misc]


# with small commands in place of the web process and the worker


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Makes commands that write a line to ``runs`` and then do something; pauses between restarts are short."""
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(supervisor, "LAST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(supervisor, "LOOK_SECONDS", 0.01)
    script = "import os, signal, sys\nfile = open(sys.argv[1], 'a+')\nfile.write('x\\n')\nfile.flush()\nfile.seek(0)\n"
    script += "runs = len(file.readlines())\n"

    def command(then: str) -> list[str]:
        return [sys.executable, "-c", script + then, str(tmp_path / "runs")]

    return command


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text().splitlines())


def test_command_that_keeps_ending_ends_everything_with_an_error(counting: Callable[[str], list[str]], tmp_path: Path) -> None:
    other = [sys.executable, "-c", f"import os; open({str(tmp_path / 'other')!r}, 'w').write(str(os.getpid())); input()"]
    assert Supervisor({"worker": other, "web": counting("sys.exit(1)")}).run() == 1
    assert runs(tmp_path) == supervisor.ATTEMPTS
    other_pid = (tmp_path / "other").read_text() if (tmp_path / "other").exists() else ""
    assert not other_pid or is_gone(int(other_pid))


def test_killed_command_is_always_started_again(counting: Callable[[str], list[str]], tmp_path: Path) -> None:
    command = counting("os.kill(os.getpid(), signal.SIGKILL if runs < 6 else signal.SIGTERM) if runs < 7 else sys.exit(1)")
    assert Supervisor({"worker": command}).run() == 1
    assert runs(tmp_path) == 6 + supervisor.ATTEMPTS


def test_command_that_ignores_sigterm_is_killed_with_its_children(
    counting: Callable[[str], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "END_SECONDS", 0.1)
    stubborn = (
        "import subprocess\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '1000'])\n"
        "print(os.getpid(), child.pid, file=open(sys.argv[1] + '.pids', 'w'), flush=True)\n"
        "os.kill(os.getppid(), signal.SIGTERM)\n"
        "child.wait()\n"
    )
    assert Supervisor({"worker": counting(stubborn)}).run() == 0
    pids = [int(pid) for pid in (tmp_path / "runs.pids").read_text().split()]
    assert len(pids) == 2
    for pid in pids:
        wait_until(lambda pid=pid: is_gone(pid), SECONDS, "the process is gone")  # type: ignore[misc]
