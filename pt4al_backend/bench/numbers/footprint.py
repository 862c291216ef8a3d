"""How much memory the processes of a backend have held at most: the kernel keeps the peak of each."""

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

SECONDS = 0.5  # between two looks: a process takes its peak with it

#: What the command line of each of the backend's processes holds.
ROLES = {"pt4al_backend.jobs.child": "training child", "rank": "command", "web": "web process", "worker": "worker"}


class Footprint:
    """A context in which the peak resident set (RSS) of each of the backend's processes is noted, which this process started.

    It holds the libraries that a process shares with others in full, whatever else runs.
    """

    def __init__(self) -> None:
        self._root = psutil.Process()
        self._largest: dict[str, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def look(self) -> dict[str, int]:
        """Bytes by role, the largest so far."""
        for process in self._processes():
            try:
                role, largest = _role(process.cmdline()), peak(process.pid)
            except (psutil.Error, OSError):
                continue  # it ended meanwhile
            if role:
                self._largest[role] = max(largest, self._largest.get(role, 0))
        return dict(self._largest)

    def _watch(self) -> None:
        while not self._over.wait(SECONDS):
            self.look()

    def _processes(self) -> list[psutil.Process]:
        try:
            return list(self._root.children(recursive=True))
        except psutil.Error:
            return []


def _role(command: list[str]) -> str:
    return next((role for word, role in ROLES.items() if word in command), "")


def peak(pid: int) -> int:
    """The most memory that a process has held, in bytes; 0 if it is ending."""
    return _bytes_of(pid, "VmHWM")


def forget_peak() -> int:
    """Resets this process's peak to the memory that it holds now, and returns that, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return _bytes_of(os.getpid(), "VmRSS")


def _bytes_of(pid: int, name: str) -> int:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status.get(name, "0 kB").split()[0]) * 1024  # a process that is ending has no memory any more
