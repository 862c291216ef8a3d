"""Where jobs run: a runner brings the job in a folder to its result.

The default is a child process on this machine. It can be killed at any moment, and is resumed from its last checkpoint. See
``child`` for what runs inside, and ``head`` for what needs none.
"""

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from pt4al_backend.errors import StoreCorrupt, TrainingImpossible
from pt4al_backend.jobs.failure import Failure
from pt4al_backend.jobs.folder import CHECKPOINT, LOG, RESULT, job_of, result_of
from pt4al_backend.jobs.head import learn_here
from pt4al_backend.jobs.spec import RankSpec
from pt4al_backend.learn.frozen.heads import warm_up
from pt4al_backend.processes import bare_environment, lines_of
from pt4al_backend.progress import Progress, Report

log = logging.getLogger(__name__)

RESTARTS = 3  # of a child that a signal killed
TICK_SECONDS = 0.5

OnTick = Callable[[], None]

_EVENT: TypeAdapter[Failure | Progress] = TypeAdapter(Failure | Progress)


class Runner(Protocol):
    """Brings jobs to their results, anywhere."""

    def run(self, folder: Path, on_progress: Report, on_tick: OnTick) -> Path:
        """Runs a job, or resumes it; returns the folder of its result, at once if it is there already.

        Args:
            folder: the job's (see ``folder``).
            on_progress: called with the progress of the job.
            on_tick: called about twice a second while the job runs; an error that it raises ends the job.

        Raises:
            TrainingImpossible: the job cannot be done; it says why.
            StoreCorrupt: it cannot be done before a ``part`` of the project's files is made again.
        """
        ...


class LocalRunner:
    """Runs each job in a child process on this machine, but does itself what is a matter of a second or two."""

    def run(self, folder: Path, on_progress: Report, on_tick: OnTick) -> Path:
        """As ``Runner`` says. A child that was killed is started again ``RESTARTS`` times.

        Raises:
            TrainingImpossible: the child said why, or was killed once more than that.
            StoreCorrupt: the child found a part of the project's files damaged.
        """
        for attempt in range(RESTARTS + 1):
            done = result_of(folder)
            if done is not None:
                (folder / CHECKPOINT).unlink(missing_ok=True)
                return done
            shutil.rmtree(folder / RESULT, ignore_errors=True)
            if attempt == 0 and learn_here(folder):
                continue
            status, failure, tail = _run_once(folder, on_progress, on_tick)
            if failure:
                if failure.damaged:
                    raise StoreCorrupt(failure.error, failure.remedy, part=failure.damaged)
                raise TrainingImpossible(failure.error, failure.remedy)
            _expect_heads(folder)
            if status > 0:
                raise TrainingImpossible(
                    f"The training process ended with status {status}: {tail}", f"Its log is {folder / LOG}."
                )
            if status < 0:
                log.warning("The training process was killed by signal %s; attempt %s resumes it.", -status, attempt + 2)
        raise TrainingImpossible(
            f"The training process was killed {RESTARTS + 1} times.",
            "Short of memory? Lower minibatch_size or image_size.",
        )


def _expect_heads(folder: Path) -> None:
    """Prepares for the heads that follow a ranking on a frozen encoder: their queue is waited for, the ranking's end is not."""
    spec = job_of(folder)
    if isinstance(spec, RankSpec) and spec.settings.frozen_encoder:
        warm_up()


def _run_once(folder: Path, on_progress: Report, on_tick: OnTick) -> tuple[int, Failure | None, str]:
    command = [sys.executable, "-m", "pt4al_backend.jobs.child", str(folder)]
    failure: Failure | None = None
    with (folder / LOG).open("ab") as errors:
        environment = {**bare_environment(), "PYTHONUNBUFFERED": "1"}
        # in the worker's group: what kills that group ends the training as well
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, env=environment)  # noqa: S603
    assert child.stdout is not None  # noqa: S101 - PIPE was given
    try:
        for line in lines_of(child.stdout, TICK_SECONDS):
            if line is None:
                on_tick()
                continue
            event = _event(line)
            if isinstance(event, Failure):
                failure = event
            elif event is not None:
                on_progress(event)
        status = child.wait()
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        child.stdout.close()
    tail = (folder / LOG).read_text(errors="replace").strip().splitlines()
    return status, failure, tail[-1][:300] if tail else ""


def _event(line: bytes) -> Progress | Failure | None:
    """What a line says. One of another form comes from a library; it is logged, not obeyed."""
    try:
        return _EVENT.validate_json(line)
    except ValidationError:
        log.info("training process: %s", line.decode(errors="replace").strip()[:300])
        return None
