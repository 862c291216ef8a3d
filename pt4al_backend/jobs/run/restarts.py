"""Restarts: a job whose process was killed, or hung, is started again and goes on from its checkpoint."""

import logging
import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from pydantic import TypeAdapter, ValidationError

from pt4al_backend.config.server import Device
from pt4al_backend.errors import StoreCorrupt, TrainingImpossible
from pt4al_backend.jobs.failure import Failure
from pt4al_backend.jobs.folder import CHECKPOINT, LOG, RESULT, job_of, result_of
from pt4al_backend.jobs.head import learn_here
from pt4al_backend.jobs.run.runner import OnTick
from pt4al_backend.jobs.spec import RankSpec
from pt4al_backend.learn.frozen.heads import warm_up
from pt4al_backend.progress import Progress, Report

log = logging.getLogger(__name__)

RESTARTS = 3  # of a process that was killed

_EVENT: TypeAdapter[Failure | Progress] = TypeAdapter(Failure | Progress)


@dataclass(frozen=True)
class Ended:
    """How one attempt at a job ended.

    Attributes:
        was_killed: its process, or its machine, was: another attempt goes on from the checkpoint.
        how: in words.
        remedy: what the user may do if it ends so each time; "": what the runner says of any that is killed.
        failure: what the job itself said, if it cannot be done.
    """

    was_killed: bool = False
    how: str = ""
    remedy: str = ""
    failure: Failure | None = None


def stalled(seconds: float, folder: Path) -> Ended:
    """The end of a process that said nothing for so long that it was taken to hang."""
    return Ended(
        was_killed=True,
        how=f"reported no progress for {seconds:g} s and was stopped",
        remedy=f"The end of {folder / LOG} says where it was: see whether a disk, a store or a GPU hangs. "
        "If a step takes longer than that here, raise PT4AL_JOB_STALL_SECONDS.",
    )


class RestartingRunner(ABC):
    """Does itself what is a matter of a second or two, and starts the rest again where it was killed, ``RESTARTS`` times."""

    #: What the user may do where it was killed each time.
    too_often: ClassVar[str] = "Short of memory? Lower minibatch_size or image_size."

    def run(self, folder: Path, on_progress: Report, on_tick: OnTick) -> Path:
        """As ``Runner`` says.

        Raises:
            TrainingImpossible: the job said why, crashed, or was killed once more than it is started again.
            StoreCorrupt: the job found a part of the project's files damaged.
            RunnerUnavailable: as ``attempt`` says.
        """
        ended = Ended()
        last: Progress | None = None

        def follow(event: Progress) -> None:
            nonlocal last
            last = event
            on_progress(event)

        for attempt in range(RESTARTS + 1):
            if done := _finished(folder):
                return done
            shutil.rmtree(folder / RESULT, ignore_errors=True)
            if attempt == 0 and learn_here(folder):
                continue
            ended = self.attempt(folder, follow, on_tick)
            if ended.failure:
                failure = ended.failure
                if failure.damaged:
                    raise StoreCorrupt(failure.error, failure.remedy, part=failure.damaged)
                raise TrainingImpossible(failure.error, failure.remedy)
            _expect_heads(folder)
            if ended.was_killed and attempt < RESTARTS:
                log.warning("The training process %s; attempt %s resumes it.", ended.how, attempt + 2)
                if last is not None:
                    on_progress(replace(last, note=f"The training process {ended.how}. It goes on from its last checkpoint."))
            elif ended.how and not ended.was_killed:
                raise TrainingImpossible(f"The training process {ended.how}", f"Its log is {folder / LOG}.")
        if done := _finished(folder):
            return done
        raise TrainingImpossible(
            f"The training process was killed {RESTARTS + 1} times: the last one {ended.how}.", ended.remedy or self.too_often
        )

    @abstractmethod
    def check(self, device: Device) -> str:
        """Where jobs would run now, in words.

        Raises:
            RunnerUnavailable: nowhere; or ``device`` is cuda, and there is none.
        """

    @abstractmethod
    def attempt(self, folder: Path, on_progress: Report, on_tick: OnTick) -> Ended:
        """Starts the job's process, or resumes its work, and follows it to its end.

        Raises:
            RunnerUnavailable: it cannot be started where the settings say.
        """


def _finished(folder: Path) -> Path | None:
    """The folder of a finished job's result, which no longer needs its checkpoint; None if it is not finished."""
    done = result_of(folder)
    if done is not None:
        (folder / CHECKPOINT).unlink(missing_ok=True)
    return done


def event_of(line: bytes) -> Progress | Failure | None:
    """What a line of the child says. One of another form comes from a library; it is logged, not obeyed."""
    try:
        return _EVENT.validate_json(line)
    except ValidationError:
        log.info("training process: %s", line.decode(errors="replace").strip()[:300])
        return None


def last_line(text: str) -> str:
    """The last line of a log, cut to 300 characters."""
    lines = text.strip().splitlines()
    return lines[-1][:300] if lines else ""


def _expect_heads(folder: Path) -> None:
    """Prepares for the heads that follow a ranking on a frozen encoder: their queue is waited for, the ranking's end is not."""
    spec = job_of(folder)
    if isinstance(spec, RankSpec) and spec.settings.frozen_encoder:
        warm_up()
