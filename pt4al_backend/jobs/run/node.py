"""What a node of a cluster does for a job: it runs the child beside the job's folder, and hands on what that says."""

import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from pt4al_backend.jobs.folder import LOG, job_of
from pt4al_backend.processes import bare_environment, lines_of

#: Lets glibc keep what is freed. A network's layers ask for the same megabytes again and again, and to get them from the kernel
#: takes up to 40 % of the time of a forward pass (docs/numbers.md). Other allocators know none of it.
KEEPS_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**30)}
#: The oldest glibc that was seen to take both. Older ones refuse the first above 32 MB and take the second, which alone fixes the
#: first at 128 KB: more than that would come from the kernel each time.
OLDEST_GLIBC = (2, 36)


TICK_SECONDS = 0.5
TERMINATE_SECONDS = 5.0  # that a child gets to write where it was; it keeps nothing by it

STALLED: Final = "stalled"


def child_command(folder: Path) -> list[str]:
    """The command line of a job's child process (see ``child``)."""
    return [sys.executable, "-m", "pt4al_backend.jobs.child", str(folder)]


def environment_of(folder: Path) -> dict[str, str]:
    """The environment of a job's child process."""
    job = job_of(folder)
    own = bare_environment(reads_stores=job is not None and job.reads_stores)
    defaults = KEEPS_MEMORY if takes_large_thresholds(*platform.libc_ver()) else {}
    return {**defaults, **own, "PYTHONUNBUFFERED": "1"}


def takes_large_thresholds(library: str, version: str) -> bool:
    """Whether a C library, by its name and version, is a glibc that ``KEEPS_MEMORY`` helps."""
    return library == "glibc" and tuple(int(part) for part in version.split(".")[:2]) >= OLDEST_GLIBC


def follow(folder: str, stall_seconds: float) -> Iterator[bytes | int | Literal["stalled"] | None]:
    """Runs a job's child: yields each line that it writes, at last its exit status; None alone if the folder is not there.

    A child that writes nothing for ``stall_seconds`` is ended, and ``STALLED`` is the last that is said of it.
    The child ends with the process that this runs in.
    """
    if not Path(folder).is_dir():
        yield None
        return
    with (Path(folder) / LOG).open("ab") as errors:
        command, environment = child_command(Path(folder)), environment_of(Path(folder))
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, env=environment)  # noqa: S603
    assert child.stdout is not None  # noqa: S101 - PIPE was given
    silence = Silence(stall_seconds)
    try:
        for line in lines_of(child.stdout, TICK_SECONDS):
            if line is not None:
                silence.end()
                yield line
            elif silence.is_too_long():
                end(child)
                yield STALLED
                return
        yield child.wait()
    finally:
        end(child)
        child.stdout.close()


class Silence:
    """For how long a process has said nothing, counted in ticks of ``lines_of``.

    A clock would count the time in which the listener itself was stopped, such as with Ctrl-Z.
    """

    def __init__(self, most_seconds: float) -> None:
        self._most, self._ticks = most_seconds, 0

    def end(self) -> None:
        """The process has said something."""
        self._ticks = 0

    def is_too_long(self) -> bool:
        """Counts one tick more."""
        self._ticks += 1
        return self._ticks * TICK_SECONDS > self._most


def end(child: "subprocess.Popen[bytes]") -> None:
    """Ends a child that still runs, which writes to its log where it was; one that cannot is killed."""
    if child.poll() is None:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(TERMINATE_SECONDS)
        child.kill()
        child.wait()
