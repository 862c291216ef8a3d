"""A job as a child process on this machine, or behind a launcher of the user's. See ``child`` for what runs inside.

Without a launcher the child is in the worker's process group: what kills that group ends the training as well. A launcher, such
as ``srun`` or ``torchrun``, gets a group of its own behind a guard, as it has processes of its own to end.
"""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pt4al_backend.config.server import JOB_STALL_SECONDS, Device
from pt4al_backend.errors import RunnerUnavailable
from pt4al_backend.jobs.failure import Failure
from pt4al_backend.jobs.folder import LOG
from pt4al_backend.jobs.run.node import TICK_SECONDS, Silence, child_command, end, environment_of
from pt4al_backend.jobs.run.restarts import Ended, RestartingRunner, event_of, last_line, stalled
from pt4al_backend.jobs.run.runner import OnTick
from pt4al_backend.processes import NOT_EXECUTABLE, NOT_FOUND, lines_of
from pt4al_backend.progress import Report

GUARD = (sys.executable, "-m", "pt4al_backend.processes")
END_SECONDS = 30.0  # that a launcher gets to end what it has started; the guard kills it before


class LocalRunner(RestartingRunner):
    """Runs each job in a child process on this machine.

    Args:
        launcher: words that are put before the child's command line, such as ``srun --gres=gpu:1``.
        stall_seconds: without progress after which a job's process is taken to hang. A launcher may let it wait: there they
            count from its first progress.
    """

    def __init__(self, launcher: Sequence[str] = (), stall_seconds: float = JOB_STALL_SECONDS) -> None:
        self._launcher, self._stall_seconds = tuple(launcher), stall_seconds

    def check(self, device: Device) -> str:  # noqa: ARG002 - the host's own devices are not the runner's to judge
        """As ``RestartingRunner`` says; a launcher has to be installed."""
        if not self._launcher:
            return "jobs run in processes of the worker's host"
        if shutil.which(self._launcher[0]) is None:
            raise unusable(self._launcher, NOT_FOUND, "")
        return f"jobs are started by {self._launcher[0]}"

    def attempt(self, folder: Path, on_progress: Report, on_tick: OnTick) -> Ended:
        """As ``RestartingRunner`` says. A launcher that failed before any progress is not started again.

        Raises:
            RunnerUnavailable: the launcher is not there, or failed before the job began.
        """
        command = child_command(folder)
        if self._launcher:
            command = [*GUARD, *self._launcher, *command]
        failure: Failure | None = None
        has_begun, silence = False, Silence(self._stall_seconds)
        with (folder / LOG).open("ab") as errors:
            environment = environment_of(folder)
            stdin = subprocess.PIPE if self._launcher else subprocess.DEVNULL
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, stdin=stdin, env=environment)  # noqa: S603
        assert child.stdout is not None  # noqa: S101 - PIPE was given
        try:
            for line in lines_of(child.stdout, TICK_SECONDS):
                if line is None:
                    if (has_begun or not self._launcher) and silence.is_too_long():
                        return stalled(self._stall_seconds, folder)
                    on_tick()
                    continue
                event = event_of(line)
                if isinstance(event, Failure):
                    failure = failure or event
                elif event is not None:
                    has_begun = True
                    silence.end()
                    on_progress(event)
            status = child.wait()
        finally:
            _end(child)
            child.stdout.close()
        return self._ended(status, failure, last_line((folder / LOG).read_text(errors="replace")), has_begun=has_begun)

    def _ended(self, status: int, failure: Failure | None, tail: str, *, has_begun: bool) -> Ended:
        if failure is not None or status == 0:
            return Ended(failure=failure)
        if status < 0:
            return Ended(was_killed=True, how=f"was killed by signal {-status}")
        if not self._launcher:
            return Ended(how=f"ended with status {status}: {tail}")
        if has_begun:  # whatever killed one of its processes, a launcher ends with a status of its own
            return Ended(was_killed=True, how=f"ended with status {status} under {self._launcher[0]}")
        raise unusable(self._launcher, status, tail)


def unusable(launcher: Sequence[str], status: int, tail: str) -> RunnerUnavailable:
    """The error of a launcher that ended before the job had begun."""
    name = launcher[0]
    if status in (NOT_FOUND, NOT_EXECUTABLE):
        return RunnerUnavailable(
            f"The launcher {name!r} of PT4AL_LAUNCHER cannot be started.",
            f"Install {name} where the worker runs, or name it with its whole path, or unset PT4AL_LAUNCHER.",
        )
    return RunnerUnavailable(
        f"The launcher `{shlex.join(launcher)}` ended with status {status} before the job began: {tail}",
        "Try it by hand with `echo` behind it, correct PT4AL_LAUNCHER, and start the worker again.",
    )


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Ends a child that still runs, and with a guard all that the launcher has started."""
    if child.stdin is not None:
        child.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            child.wait(END_SECONDS)
    end(child)
