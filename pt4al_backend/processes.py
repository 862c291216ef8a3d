"""Processes that this one starts: a group that ends as a whole, an end with the parent, pauses between restarts, waiting.

``python -m pt4al_backend.processes COMMAND…`` runs a command that ends when standard input closes. Its starter
holds the other end of that pipe, so the command ends with its starter in whichever way that ends, ``kill -9`` included.
It runs beside each server of the demo for as long as that does: this module imports only the standard library.
"""

import gc
import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, TypeVar

log = logging.getLogger(__name__)

GUARD_SECONDS = 20.0  # that a guarded command gets to end; `pt4al start` gives its own children 15 s
ORPHAN_SECONDS = 10.0  # that a process gets to end by itself once its parent is gone
FIRST_LOOK_SECONDS, LAST_LOOK_SECONDS = 0.001, 0.05  # between two checks of a process with a time limit
NOT_FOUND, NOT_EXECUTABLE = 127, 126  # status of a guard whose command cannot be started, as a shell's
CHUNK = 65_536  # bytes of output read at a time


def keep_what_is_loaded() -> None:
    """Exempts from garbage collection all that there is: modules stay, and to look through them holds up an answer for 0.2 s."""
    gc.freeze()


T = TypeVar("T")


def wait_until(condition: Callable[[], T], seconds: float, what: str) -> T:
    """Calls ``condition`` until what it returns is true, and returns that.

    Raises:
        TimeoutError: ``what`` did not come about within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    pause = 0.02
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"Not within {seconds:g} s: {what} (last answer: {answer!r}).")
        time.sleep(pause)
        pause = min(pause * 1.3, 0.5)
    return answer


class ProcessGroup:
    """A command in a process group of its own. Safe to share between threads.

    The group is signalled only while its first process has not been reaped: until then the kernel gives its number to
    nobody else.

    Args:
        command: the command line.
        options: as `subprocess.Popen` takes them.
    """

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(command, start_new_session=True, **options)  # noqa: S603 - the caller's own command

    @property
    def pid(self) -> int:
        """Number of the first process, which is the group's as well."""
        return self._process.pid

    @property
    def stdin(self) -> IO[bytes] | None:
        """The pipe to its standard input, if it has one."""
        return self._process.stdin

    def poll(self) -> int | None:
        """Exit status of the first process, negative for a signal; None while it runs. What it left behind is killed."""
        return self._reap() if self._has_ended(os.WNOHANG) else None

    def wait(self, seconds: float | None = None) -> int:
        """Waits for the first process to end, kills what it left behind, returns its exit status.

        Raises:
            TimeoutError: it did not end within ``seconds``.
        """
        if seconds is None:
            self._has_ended(0)
            return self._reap()
        deadline = time.monotonic() + seconds
        pause = FIRST_LOOK_SECONDS
        while not self._has_ended(os.WNOHANG):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"Process {self.pid} still runs after {seconds:g} s.")
            time.sleep(min(pause, left))
            pause = min(2 * pause, LAST_LOOK_SECONDS)
        return self._reap()

    def terminate(self) -> None:
        """Asks the first process alone to end: it ends its own children in order."""
        with self._lock:
            if self._process.returncode is None:
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> int:
        """Ends the whole group at once; returns the first process's exit status."""
        with self._lock:
            self._kill_group()
        return self.wait()

    def end(self, seconds: float) -> int:
        """Asks it to end, and kills the group after ``seconds``; returns the first process's exit status."""
        self.terminate()
        try:
            return self.wait(seconds)
        except TimeoutError:
            return self.kill()

    def _has_ended(self, flags: int) -> bool:
        """Checks without reaping; without WNOHANG it waits."""
        if self._process.returncode is not None:
            return True
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | flags) is not None
        except ChildProcessError:  # another thread has reaped it meanwhile
            return True

    def _reap(self) -> int:
        with self._lock:
            self._kill_group()
            status = self._process.wait()
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        return status

    def _kill_group(self) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)


@dataclass
class Restarts:
    """How often a process died, and the pause before its next start, which doubles with each death in a row.

    Args:
        first: seconds before the first restart.
        last: the longest pause in seconds.
        steady: seconds after which a process counts as having come up, and earlier deaths are forgotten.
    """

    first: float
    last: float
    steady: float
    deaths: int = 0  # in a row, without having come up
    exits: int = 0  # those among them that no signal caused

    def pause_after(self, status: int, ran: float) -> float:
        """Records a death with this exit status after ``ran`` seconds; returns the seconds to wait before a restart."""
        if ran >= self.steady:
            self.deaths = self.exits = 0
        self.deaths += 1
        self.exits += status >= 0
        return min(self.first * 2.0 ** (self.deaths - 1), self.last)


#: Variables that hold secrets.
SECRETS = (
    "LABEL_STUDIO_API_KEY",
    "BASIC_AUTH_PASS",
    "PT4AL_DATABASE_URL",
    "PT4AL_REDIS_URL",
    "PT4AL_ARTEFACTS_URL",
    "RAY_AUTH_TOKEN",
)
#: Those among them of the stores that images lie in.
STORE_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def bare_environment(*, reads_stores: bool = False) -> dict[str, str]:
    """This process's environment for a child that only computes, or reads images: without the secrets that it does not need."""
    hidden = SECRETS if reads_stores else (*SECRETS, *STORE_SECRETS)
    return {name: value for name, value in os.environ.items() if name not in hidden}


def lines_of(stream: IO[bytes], tick: float) -> Iterator[bytes | None]:
    """Lines that a process writes, as they come, until it closes the pipe; None when no line is waiting.

    None comes after the lines that arrived together, and every ``tick`` seconds without one.
    """
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            if selector.select(tick):
                chunk = os.read(stream.fileno(), CHUNK)
                if not chunk:
                    break
                *lines, rest = (rest + chunk).split(b"\n")
                yield from lines
            yield None
    if rest:
        yield rest


def end_with_parent() -> None:
    """Ends this process, and later its group, when its standard input closes, that is when its starter is gone.

    A pipe rather than Linux's PR_SET_PDEATHSIG, which is missed by a child whose parent dies before it is set.
    """

    def end() -> None:
        log.warning("The process that started this one is gone: ending.")
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(ORPHAN_SECONDS)
        os.killpg(0, signal.SIGKILL)

    _when_input_closes(end)


def guard(command: Sequence[str]) -> int:
    """Runs ``command`` in a group of its own until it ends, SIGTERM arrives or standard input closes; its exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the starter's to answer
    try:
        group = ProcessGroup(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE

    def end() -> None:
        group.end(GUARD_SECONDS)

    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end, daemon=True).start())
    _when_input_closes(end)
    status = group.wait()
    return status if status >= 0 else 128 - status


def _when_input_closes(act: Callable[[], None]) -> None:
    def watch() -> None:
        while os.read(0, 1):  # not sys.stdin: a thread that waits in there breaks the interpreter's shutdown
            pass
        act()

    threading.Thread(target=watch, name="parent", daemon=True).start()


if __name__ == "__main__":
    sys.exit(guard(sys.argv[1:]))
