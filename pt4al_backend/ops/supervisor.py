"""``pt4al start``: the web process and the worker as two child processes, restarted when they die, ended together.

Each child's standard input is a pipe that nobody writes to and that closes with this process, however it ends, so that
``kill -9`` of it leaves no orphan: the children call ``end_with_parent``.
"""

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.5, 30.0  # before a restart; doubles with each death in a row
STEADY_SECONDS = 30.0  # a child that ran for so long has come up
ATTEMPTS = 3  # exits by itself in a row, without having come up, after which another start is pointless
END_SECONDS = 15.0  # between asking a child to end and making it
ORPHAN_SECONDS = 10.0  # that an orphan gets to end by itself


@dataclass
class _Child:
    name: str
    command: Sequence[str]
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    deaths: int = 0  # in a row, without having come up
    exits: int = 0  # those among them that no signal caused
    next_start: float = 0.0

    def start(self) -> None:
        # In a group of its own: Ctrl-C in the terminal reaches the supervisor alone, which ends the children in order.
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603
        self.started = time.monotonic()
        log.info("Started the %s (process %s).", self.name, self.process.pid)

    def look(self) -> None:
        """Starts the child if it is due; takes note if it died."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.next_start:
                self.start()
            return
        status = self.process.poll()
        if status is None:
            return
        self._bury()
        if now - self.started >= STEADY_SECONDS:
            self.deaths = self.exits = 0
        self.deaths += 1
        self.exits += status >= 0
        pause = min(FIRST_PAUSE_SECONDS * 2 ** (self.deaths - 1), LAST_PAUSE_SECONDS)
        self.next_start = now + pause
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        log.warning("The %s %s; it is started again in %g s.", self.name, how, pause)

    def ask_to_end(self) -> None:
        """Tells the child alone: a worker would take the end of its training process for a crash, and start it again."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)

    def end(self, deadline: float) -> None:
        """Waits for the child, and makes it end at ``deadline``."""
        if self.process is None:
            return
        try:
            self.process.wait(max(deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            log.warning("The %s did not end in time; it is killed. Its work resumes at the next start.", self.name)
        self._bury()

    def _bury(self) -> None:
        """What the child started ends with it: a training whose worker is gone would only be in the next one's way."""
        process, self.process = self.process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


class Supervisor:
    """Keeps commands running. ``commands`` maps the name that the log uses to the command line."""

    def __init__(self, commands: Mapping[str, Sequence[str]]) -> None:
        self._children = [_Child(name, command) for name, command in commands.items()]
        self._stopped = 0  # the signal that said so

    def run(self) -> int:
        """Runs until SIGTERM or SIGINT, which end all children: 0. Or until one cannot stay up: 1.

        A child that a signal killed (by the kernel, short of memory, for instance) is always started again. One that
        ends by itself ``ATTEMPTS`` times in a row without having come up would only do so again.
        """
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            while not self._stopped:
                for child in self._children:
                    child.look()
                    if child.exits >= ATTEMPTS:
                        log.error("The %s cannot stay up: see what it says above. Everything ends.", child.name)
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
            child.ask_to_end()
        for child in self._children:
            child.end(deadline)


def end_with_parent() -> None:
    """Ends this process when its standard input closes, that is when the supervisor is gone.

    A pipe rather than Linux's PR_SET_PDEATHSIG, which is missed by a child whose parent dies before it is set.
    """

    def watch() -> None:
        while os.read(0, 1):  # not sys.stdin: a thread that waits in there breaks the interpreter's shutdown
            pass
        log.warning("The supervisor is gone: ending.")
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(ORPHAN_SECONDS)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, name="parent", daemon=True).start()
