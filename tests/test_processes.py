"""Process groups, restarts, lines and guards."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pt4al_backend import processes
from pt4al_backend.processes import ProcessGroup, Restarts, lines_of
from tests.support.servers import wait_until

#: Starts a child, writes both process numbers to a file, then does what is added.
PARENT = """
import os, signal, subprocess, sys, time
child = subprocess.Popen(["sleep", "600"])
open(sys.argv[1] + ".new", "w").write(f"{os.getpid()} {child.pid}")
os.rename(sys.argv[1] + ".new", sys.argv[1])
"""


def parent(folder: Path, then: str, **options: int) -> tuple[ProcessGroup, list[int]]:
    """A running group of two, and their process numbers."""
    group = ProcessGroup([sys.executable, "-c", PARENT + then, str(folder / "pids")], **options)
    return group, numbers(folder)


def numbers(folder: Path) -> list[int]:
    wait_until((folder / "pids").exists, 60, "the processes run")
    return [int(pid) for pid in (folder / "pids").read_text().split()]


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_group_that_is_waited_for_leaves_no_child(tmp_path: Path) -> None:
    group, (_, child) = parent(tmp_path, "sys.exit(3)")
    assert group.wait(60) == 3
    wait_until(lambda: is_gone(child), 60, "the child is gone")
    assert group.poll() == 3


def test_group_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    group, pids = parent(tmp_path, "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('x', flush=True)\ntime.sleep(600)")
    assert group.end(0.2) < 0
    for pid in pids:
        wait_until(lambda pid=pid: is_gone(pid), 60, "the process is gone")  # type: ignore[misc]


def test_ended_group_is_never_signalled(monkeypatch: pytest.MonkeyPatch) -> None:
    group = ProcessGroup([sys.executable, "-c", ""])
    assert group.wait(60) == 0
    signalled: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: signalled.append(pid))
    monkeypatch.setattr(os, "killpg", lambda pid, number: signalled.append(pid))
    group.terminate()
    assert group.kill() == group.end(1) == 0
    assert signalled == []


def test_group_is_killed_before_its_number_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    group = ProcessGroup([sys.executable, "-c", ""])
    states: list[str] = []
    kill = os.killpg

    def look_and_kill(pid: int, number: int) -> None:
        states.append(psutil.Process(pid).status())
        kill(pid, number)

    monkeypatch.setattr(os, "killpg", look_and_kill)
    assert group.wait(60) == 0
    assert states == [psutil.STATUS_ZOMBIE]


def test_waiting_longer_than_allowed_is_a_timeout() -> None:
    group = ProcessGroup(["sleep", "600"])
    assert group.poll() is None
    with pytest.raises(TimeoutError):
        group.wait(0.01)
    assert group.kill() == -signal.SIGKILL


def test_pauses_double_until_a_process_has_come_up() -> None:
    restarts = Restarts(first=0.5, last=3, steady=30)
    assert [restarts.pause_after(1, ran=1) for _ in range(5)] == [0.5, 1, 2, 3, 3]
    assert (restarts.deaths, restarts.exits) == (5, 5)
    assert restarts.pause_after(-signal.SIGKILL, ran=31) == 0.5
    assert (restarts.deaths, restarts.exits) == (1, 0)


def test_lines_come_whole_with_none_when_nothing_waits() -> None:
    script = (
        "import sys, time\nfor part in ('a\\nb', 'c\\n', 'd'):\n    print(part, end='', flush=True)\n    sys.stdin.readline()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        found = []
        for line in lines_of(process.stdout, 60):
            found.append(line)
            if line is None and process.poll() is None:
                process.stdin.write(b"\n")
                process.stdin.flush()
    assert [line for line in found if line is not None] == [b"a", b"bc", b"d"]
    assert found[:2] == [b"a", None]


@pytest.mark.parametrize("how", ["input closes", "SIGTERM"])
def test_guarded_command_ends_with_its_children(tmp_path: Path, how: str) -> None:
    command = [sys.executable, "-I", processes.__file__, sys.executable, "-c", PARENT + "time.sleep(600)", str(tmp_path / "pids")]
    group = ProcessGroup(command, stdin=subprocess.PIPE)
    pids = numbers(tmp_path)
    if how == "input closes":
        assert group.stdin is not None
        group.stdin.close()
    else:
        group.terminate()
    assert group.wait(60) == 128 + signal.SIGTERM
    for pid in pids:
        wait_until(lambda pid=pid: is_gone(pid), 60, "the process is gone")  # type: ignore[misc]


def test_guard_passes_on_the_exit_status() -> None:
    command = [sys.executable, "-I", processes.__file__, sys.executable, "-c", "raise SystemExit(7)"]
    assert ProcessGroup(command, stdin=subprocess.PIPE).wait(60) == 7
