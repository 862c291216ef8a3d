"""Whether training the encoder too would be better than the head: compared beside the looks, when labels have grown enough."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pt4al_backend import artefacts
from pt4al_backend.config import ProjectSettings
from pt4al_backend.engine.context import Context, Outcome
from pt4al_backend.engine.device import Device
from pt4al_backend.engine.project_jobs import ProjectJobs, number_of
from pt4al_backend.engine.subject import Subject, described
from pt4al_backend.engine.work_queue import QUEUE_ERRORS
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.jobs.folder import RESULT, job_of, locked, prepare, sound_job_of
from pt4al_backend.jobs.run import LocalRunner, Runner
from pt4al_backend.jobs.spec import CompareSpec, JobKind
from pt4al_backend.learn.frozen.comparison import MOST_LABELS, Comparison, is_due
from pt4al_backend.progress import silent
from pt4al_backend.query import plan

log = logging.getLogger(__name__)

#: Topic of the sentence that people read.
TOPIC = "tuning"
#: Beside a comparison that could not be made: why.
FAILED = "failed.txt"


class _Yielded(Exception):
    """Another job wants the device, or the project is paused or has other settings: the comparison goes on later, if at all."""


class Comparing:
    """Compares one project at a time, while nobody else wants the ``device``; ``doorbell`` requests a look at those who do."""

    def __init__(self, device: Device, doorbell: Callable[[int], None], runner: Runner | None = None) -> None:
        self._device, self._doorbell, self._runner = device, doorbell, runner or LocalRunner()

    def refresh(self, subject: Subject) -> None:
        """Compares if labels have grown enough since the last comparison, or goes on with one that was cut short.

        Raises:
            Superseded: the project is forgotten.
            PT4ALError, OSError: it cannot be done now.
        """
        jobs = subject.jobs
        if not _compares(subject.options, subject.reader.task) or jobs.learner is None or subject.project.paused_at is not None:
            return
        folder = _due(subject)
        if folder is None:
            return
        with locked(folder, wait=False) as is_free:
            pass
        if not is_free:  # an orphan of an earlier worker is at it
            return
        try:
            with self._device.hold() as has_device:
                if has_device:
                    self._runner.run(folder, silent, lambda: _require(subject))
                    _forget_others(jobs.folder, folder)
        except TrainingImpossible as error:  # it is tried again with more labels
            artefacts.atomic_write(folder / FAILED, str(error).encode())
            raise
        except _Yielded:
            pass
        finally:
            self._ring(subject)

    def _ring(self, subject: Subject) -> None:
        try:
            for project_id in subject.store.waiting_for_device():
                self._doorbell(project_id)
        except QUEUE_ERRORS as error:
            log.warning("Projects that wait for the device are looked at with the next poll: %s", error)


def step(ctx: Context) -> Outcome:
    """Says what the last comparison found, if it still holds."""
    found = _last(ProjectJobs.of(ctx)) if _compares(ctx.options, ctx.reader.task) else None
    ctx.notice(TOPIC, sentence(*found) if found else "")
    return Outcome.DONE


def sentence(found: Comparison, task: str) -> str:
    """Which model is served, and why."""
    of = "" if task == "classification" else " of the decisions"
    both = (
        f"On {found.images:,} labelled images that they had not learned, the head was right on {found.head:.1%}{of}, and a model "
        f"whose encoder is trained too on {found.full:.1%}"
    )
    if found.full_wins:
        return f"{both}. The head is served; set tuning to full in the extra params for the better one, whose rounds take longer."
    return f"{both}: the head is served."


def _compares(options: ProjectSettings, task: str) -> bool:
    return options.tuning == "auto" and plan.on_features(options, task)


def _require(subject: Subject) -> None:
    subject.require()
    project = subject.store.project(subject.project.id)
    if project is None or project.paused_at is not None or project.params != subject.project.params:
        raise _Yielded
    if subject.store.waiting_for_device():
        raise _Yielded


def _due(subject: Subject) -> Path | None:
    """The folder of the comparison that is to be made or gone on with; None if none is."""
    jobs = subject.jobs
    wanted = jobs.compare()
    last = _newest(jobs.folder)
    folder = jobs.folder / f"{JobKind.COMPARE}-{number_of(last) + 1 if last else 1}"
    under_way = sound_job_of(folder)
    has_failed = (folder / FAILED).exists()
    if under_way is not None and under_way.is_current(wanted) and not has_failed:
        return folder
    job = under_way if has_failed else job_of(last) if last else None
    compared = job.labels if isinstance(job, CompareSpec) and job.is_current(wanted) else 0
    labels = subject.labels(train_on_accepted=subject.options.train_on_accepted).train
    if not is_due(len(labels), compared):
        return None
    tasks = jobs.fetched()
    row_of = dict(zip(tasks.ids.tolist(), tasks.rows.tolist(), strict=True))
    drawn = np.sort(np.random.default_rng(subject.options.seed).permutation(len(labels))[:MOST_LABELS])
    rows = np.array([row_of[task_id] for task_id in labels], np.int64)[drawn]
    train = {"rows": rows, "labels": np.array(list(labels.values()), np.str_)[drawn]}
    prepare(folder, wanted.model_copy(update={"labels": len(labels)}), train=train, rows=tasks.rows)
    return folder


def _last(jobs: ProjectJobs) -> tuple[Comparison, str] | None:
    """What the newest comparison found, if it is of the encoder, the classes and the settings that the project has."""
    folder = _newest(jobs.folder)
    job = job_of(folder) if folder else None
    if folder is None or job is None or not job.is_current(jobs.compare()):
        return None
    manifest = described(folder / RESULT)
    try:
        found = Comparison(**{name: manifest[name] for name in ("images", "head", "full", "error")})
    except KeyError:
        return None
    return (found, job.task) if found.images else None


def _newest(project: Path) -> Path | None:
    """The newest finished comparison below a project's folder."""
    folders = [folder for folder in project.glob(f"{JobKind.COMPARE}-*") if (folder / RESULT / artefacts.MANIFEST).is_file()]
    return max(folders, key=number_of, default=None)


def _forget_others(project: Path, last: Path) -> None:
    for folder in project.glob(f"{JobKind.COMPARE}-*"):
        if folder != last:
            shutil.rmtree(folder)
