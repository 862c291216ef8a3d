"""``pt4al start``: the web process and the worker as two child processes, restarted when they die, ended together.

Each child's standard input is a pipe that nobody writes to and that closes with this process, however it ends, so that
``kill -9`` of it leaves no orphan: the children call `processes.end_with_parent`.
"""

import logging
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from types import FrameType

from pt4al_backend.processes import ProcessGroup, Restarts

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.5, 30.0  # before a restart; doubles with each death in a row
STEADY_SECONDS = 30.0  # after which a child counts as having come up
ATTEMPTS = 3  # exits by itself in a row, without having come up, after which another start is pointless
END_SECONDS = 15.0  # between SIGTERM and SIGKILL


class _Child:
    """One command: started when it is due, and again when it has died."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self._command = command
        self._group: ProcessGroup | None = None
        self._restarts = Restarts(FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS, STEADY_SECONDS)
        self._started = 0.0
        self._next_start = 0.0

    @property
    def cannot_stay_up(self) -> bool:
        """Whether it has ended by itself ``ATTEMPTS`` times, so that another start is pointless."""
        return self._restarts.exits >= ATTEMPTS

    def keep_running(self) -> None:
        """Starts the child if it is due; takes note if it died."""
        now = time.monotonic()
        if self._group is None:
            if now >= self._next_start:
                self._start()
            return
        # Reaping kills what the child started: a training without its worker would only be in the next one's way.
        status = self._group.poll()
        if status is None:
            return
        self._group = None
        pause = self._restarts.pause_after(status, now - self._started)
        self._next_start = now + pause
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        log.warning("The %s %s; it is started again in %g s.", self.name, how, pause)

    def terminate(self) -> None:
        """Asks the child alone: a worker would take the end of its training process for a crash, and start it again."""
        if self._group is not None:
            self._group.terminate()

    def end(self, deadline: float) -> None:
        """Waits for the child, and kills it at ``deadline``."""
        group, self._group = self._group, None
        if group is None:
            return
        try:
            group.wait(max(deadline - time.monotonic(), 0.0))
        except TimeoutError:
            log.warning("The %s did not end in time; it is killed. Its work resumes at the next start.", self.name)
            group.kill()

    def _start(self) -> None:
        # In a group of its own: Ctrl-C in the terminal reaches the supervisor alone, which ends the children in order.
        self._group = ProcessGroup(self._command, stdin=subprocess.PIPE)
        self._started = time.monotonic()
        log.info("Started the %s (process %s).", self.name, self._group.pid)


class Supervisor:
    """Keeps commands running. ``commands`` maps the name that the log uses to the command line."""

    def __init__(self, commands: Mapping[str, Sequence[str]]) -> None:
        self._children = [_Child(name, command) for name, command in commands.items()]
        self._stopped = 0  # the signal that arrived

    def run(self) -> int:
        """Runs until SIGTERM or SIGINT, which end all children: 0. Or until one cannot stay up: 1.

        A child that a signal killed (by the kernel, short of memory, for instance) is always started again. One that
        ends by itself ``ATTEMPTS`` times in a row without having come up would only do so again.
        """
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            while not self._stopped:
                for child in self._children:
                    child.keep_running()
                    if child.cannot_stay_up:
                        log.error("The %s cannot stay up: see its messages above. Ending.", child.name)
                        return 1
                time.sleep(LOOK_SECONDS)
            log.info("Received %s: ending.", signal.Signals(self._stopped).name)
            return 0
        finally:
            self._end()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self._stopped = number  # and no more: the handler may have interrupted a line of the log

    def _end(self) -> None:
        deadline = time.monotonic() + END_SECONDS
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.end(deadline)
