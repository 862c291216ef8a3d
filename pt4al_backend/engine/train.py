"""Training: the model that each round trains, and the turn to the next round.

A training is a job in a folder of its own (see ``jobs.folder``). A folder that is already there is resumed, so a restart loses
what came after its last checkpoint. New labels and images wait for the next training; a job is prepared again if settings have
changed that affect what it makes (see ``staleness``).
"""

import logging
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pt4al_backend import artefacts
from pt4al_backend.aliases import Ids
from pt4al_backend.engine import publish, staleness, sync
from pt4al_backend.engine.context import Context, Outcome
from pt4al_backend.engine.during_jobs import device, keep_serving, report
from pt4al_backend.engine.labels import LabelSplit, split_labels
from pt4al_backend.engine.project_jobs import ProjectJobs, number_of
from pt4al_backend.engine.ranking import PoolRanking, rank
from pt4al_backend.engine.rounds import Rounds
from pt4al_backend.errors import Part, StoreCorrupt, TrainingImpossible
from pt4al_backend.jobs import head
from pt4al_backend.jobs.folder import prepare, sound_job_of
from pt4al_backend.jobs.manifest import ModelManifest
from pt4al_backend.jobs.results import read_scored
from pt4al_backend.jobs.run import OnTick, Runner
from pt4al_backend.jobs.spec import JobKind, LearnSpec
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Report
from pt4al_backend.query.plan import StoredOutput
from pt4al_backend.state.rounds import ClosedRound
from pt4al_backend.state.schema import AnswerKind, Project, RoundState

log = logging.getLogger(__name__)

KEPT_MODELS = 3
MODEL_GONE = (
    "The last model is missing or damaged: images outside the query get no prediction. "
    "The next training makes another one; Start Training does it now."
)
BROUGHT = 0  # the round that labels belong to which a project had before it was connected


class RoundTraining:
    """Trains the models of one project's rounds; ``runner`` is where its jobs run, ``number`` the round if not the open one."""

    def __init__(self, jobs: ProjectJobs, runner: Runner, number: int | None = None) -> None:
        self._store = jobs.store
        self._settings = jobs.settings
        self._project = jobs.project
        self._options = jobs.options
        self._reader = jobs.reader
        self._jobs = jobs
        self._runner = runner
        self._number = number

    @classmethod
    def of(cls, ctx: Context, number: int | None = None) -> Self:
        """The trainings of the project that a look is at."""
        return cls(ProjectJobs.of(ctx), ctx.resources.runner, number)

    def take_labels(self) -> LabelSplit:
        """The labels that there are; those that cannot be used are set aside, those that are gone are read again."""
        answers = self._store.answers(self._project.id)
        sizes = self._store.fetched_sizes(self._project.id, list(answers))
        controls = self._store.control_ids(self._project.id)
        accepted = self._options.train_on_accepted
        origins = self._store.origins(self._project.id, [*answers, *controls.tolist()])
        split = split_labels(sizes, answers, controls, origins, self._reader, train_on_accepted=accepted)
        notes = list(split.unusable.values())
        skipped = [AnswerKind.SKIP] * len(notes)
        unread = [""] * len(notes)  # with a full pass they are read again, by the size that their image has
        self._store.set_tasks(self._project.id, {"id": list(split.unusable), "answer": skipped, "note": notes, "stamp": unread})
        if notes:
            self._store.change(self._project, full_sync_at=0.0)
        if split.lost:
            log.warning("Project %s: %s labels are gone from the disk and are read again.", self._project.id, len(split.lost))
            self._store.change(self._project, full_sync_at=0.0)
        return split

    def forget_damaged_labels(self) -> None:
        """Deletes what was kept of labels and is damaged, so that their annotations are read again."""
        self._reader.forget_damaged()
        self._store.change(self._project, full_sync_at=0.0)

    def digest(self, labels: LabelSplit) -> str:
        """Of what a model would learn from labels: equal if nothing is new."""
        return staleness.digest(labels, self._options, self._jobs.classes)

    def missing_for_training(self, labels: LabelSplit) -> str:
        """What is missing before a model can be trained, "" if nothing is."""
        return self._reader.missing_for_training(labels.train.values(), self._options, self._project.image_shape or (1, 1))

    def is_quick(self, labels: LabelSplit) -> bool:
        """Whether training on these labels takes a second or two, and needs no device."""
        spec = self._jobs.learn(self._jobs.learner)
        return head.quick_encoder(spec, self._jobs.fetched().rows, len(labels.train)) is not None

    def is_under_way(self) -> bool:
        """Whether this round's training was cut short, and is resumed from the learner that it started from."""
        return self._job() is not None and not self._has_failed()

    def train(self, candidates: Callable[[], Ids], on_progress: Report, on_tick: OnTick) -> tuple[StoredOutput, ClosedRound]:
        """Trains this round's model on the labels there are; returns what it scored, and what closes the round.

        Args:
            candidates: finds the tasks that it scores; called only if a job is prepared.

        Raises:
            TrainingImpossible: the message says why.
        """
        labels = self.take_labels()
        job = self._job()
        if job is not None and self._has_failed() and (job.digest, job.learner) != (self.digest(labels), self._jobs.learner):
            job = None  # it failed on other labels, or from another learner; one that was cut short keeps what it had
        if job is None:
            job = self._prepare(labels, candidates())
        try:
            result = self._runner.run(self._folder, on_progress, on_tick)
        except TrainingImpossible:
            (self._folder / "failed").touch()
            raise
        manifest = ModelManifest.read(result)
        closed = ClosedRound(
            model=str(result.relative_to(self._settings.data_dir)),
            labels=manifest.train_size,
            digest=job.digest,
            control=manifest.control,
            seconds=manifest.seconds,
        )
        return read_scored(self._folder), closed

    def _prepare(self, labels: LabelSplit, candidates: Ids) -> LearnSpec:
        tasks = self._jobs.fetched()
        row_of = dict(zip(tasks.ids.tolist(), tasks.rows.tolist(), strict=True))

        def training_data(chosen: dict[int, str]) -> dict[str, NDArray[Any]]:
            rows = np.array([row_of[task_id] for task_id in chosen], np.int64)
            return {"rows": rows, "labels": np.array(list(chosen.values()), np.str_)}

        previous = self._settings.data_dir / self._project.model if self._project.model else None
        changes = {"previous": previous, "digest": self.digest(labels)}
        job = self._jobs.learn(self._jobs.learner).model_copy(update=changes)
        prepare(
            self._folder,
            job,
            train=training_data(labels.train),
            control=training_data(labels.control),
            candidates=np.array([row_of[i] for i in candidates.tolist()], np.int64),
            candidate_ids=candidates,
        )
        return job

    def is_model_gone(self) -> bool:
        """Whether the last model's weights are missing or damaged."""
        model = self._settings.data_dir / self._project.model
        return bool(self._project.model) and not artefacts.has_sound(model, artefacts.WEIGHTS)

    def forget_old_models(self) -> None:
        """Deletes the folders of models that are no longer served, and what was kept of labels that were replaced.

        Called when no training is under way: a job names the labels that it was written with.
        """
        self._reader.keep_only(answer.label for answer in self._store.answers(self._project.id).values())
        folders = sorted(self._jobs.folder.glob("learn-*"), key=number_of)
        for folder in folders[:-KEPT_MODELS]:
            if folder / "result" != self._settings.data_dir / self._project.model:
                shutil.rmtree(folder)

    @property
    def _folder(self) -> Path:
        number = self._project.round if self._number is None else self._number
        return self._jobs.folder / f"learn-{number}"

    def _job(self) -> LearnSpec | None:
        """The job of this round's training, if one was prepared, is undamaged, and its result is still wanted."""
        job = sound_job_of(self._folder)
        return job if isinstance(job, LearnSpec) and staleness.is_current(job, self._jobs) else None

    def _has_failed(self) -> bool:
        """Whether this round's training was impossible when it was last tried."""
        return (self._folder / "failed").exists()


def needs_new_learner(ranking: PoolRanking, training: RoundTraining) -> bool:
    """Whether the pretext learner is trained again before a round's model.

    Not before a training that was cut short has ended: it started from the learner that there is. One that failed starts over
    from the new learner.
    """
    return not training.is_under_way() and ranking.is_outgrown()


def learn_brought(ctx: Context) -> Outcome:
    """Trains on the labels that a project brings, if they suffice, so that round 1 queries with a model.

    Labels of this round's own picks, which are served while the pool is ranked, are not enough for that: they wait for the query.
    """
    current = ctx.store.round(ctx.project.id, ctx.project.round)
    if ctx.project.model or current is None or current.state != RoundState.STARTING:
        return Outcome.DONE
    training = RoundTraining.of(ctx, BROUGHT)
    labels = training.take_labels()
    picked = {pick.task_id for pick in ctx.store.picks(ctx.project.id, current.number)}
    brought = replace(labels, train={task: label for task, label in labels.train.items() if task not in picked})
    if training.missing_for_training(brought) or not ctx.retries.may_run(ctx.project, JobKind.LEARN):
        return Outcome.DONE
    rounds = Rounds.of(ctx)

    def candidates() -> Ids:
        rounds.cut_batches(current.number)
        return rounds.candidates(current.number)

    try:
        with _device_for(ctx, training, brought) as is_free:
            if not is_free:
                return Outcome.WAITING
            _, closed = training.train(candidates, lambda event: report(ctx, event), lambda: keep_serving(ctx))
    except TrainingImpossible as error:
        ctx.warn(error)
        ctx.retries.failed(ctx.project, JobKind.LEARN)
        ctx.notice("classes", f"The labels that were there before could not be learned, so round 1 has no model. {error}")
        return Outcome.DONE
    ctx.log("a model has learned %s labels that were there before, in %.1f s.", closed.labels, sum(closed.seconds.values()))
    ctx.retries.succeeded(ctx.project, JobKind.LEARN)
    sync.catch_up(ctx)
    ctx.lease.require()
    ctx.store.add_closed(ctx.project, BROUGHT, closed)
    return Outcome.DONE


def step(ctx: Context) -> Outcome:
    """Trains and opens rounds for as long as the open one is answered."""
    while (outcome := _turn(ctx)) is None:
        publish.step(ctx)
    return outcome


def _turn(ctx: Context) -> Outcome | None:
    """Trains when the round is answered or closed early, or the button was pressed; opens the next round; None if it did."""
    training = RoundTraining.of(ctx)
    ctx.notice("model", MODEL_GONE if training.is_model_gone() else "")
    is_answered = Rounds.of(ctx).is_answered() or Rounds.of(ctx).is_closed_early()
    if not is_answered and ctx.project.trainings_requested <= ctx.project.trainings_handled:
        return Outcome.DONE
    if not ctx.retries.may_run(ctx.project, JobKind.LEARN):
        return Outcome.WITHHELD
    labels = training.take_labels()
    if labels.lost:
        sync.full(ctx)  # reads them again, so that the model need not do without them
        labels = training.take_labels()
    if not is_answered and not _is_due_early(ctx, training, labels):
        return Outcome.DONE
    presses = _presses_answered(ctx.project, training, is_answered=is_answered)
    missing = training.missing_for_training(labels)
    if missing:
        ctx.lease.require()
        ctx.notice("classes", f"A model needs {missing}: the next round follows the ranking, without a model.")
        Rounds.of(ctx).open_next(StoredOutput(), ClosedRound(labels=len(labels.train)))
    else:
        ctx.notice("classes", "")
        with _device_for(ctx, training, labels) as is_free:
            if not is_free:
                return Outcome.WAITING
            scored, closed = _train(ctx, training)
        _open_next(ctx, training, scored, closed)
    ctx.store.change(ctx.project, trainings_handled=presses)
    ctx.notice("close", "")
    return None


def _device_for(ctx: Context, training: RoundTraining, labels: LabelSplit) -> AbstractContextManager[bool]:
    """The device, unless a head is all that is trained: that takes a second, and waits for nobody."""
    is_quick = not needs_new_learner(PoolRanking.of(ctx), training) and training.is_quick(labels)
    return nullcontext(True) if is_quick else device(ctx)


def _presses_answered(project: Project, training: RoundTraining, *, is_answered: bool) -> int:
    """How many presses of Start Training the training that now begins answers; those that come while it runs want another one.

    One that is resumed has taken its labels before: beside the press that it began with, if any, the presses since are such.
    """
    if training.is_under_way():
        return project.trainings_handled + (not is_answered)
    return project.trainings_requested


def _is_due_early(ctx: Context, training: RoundTraining, labels: LabelSplit) -> bool:
    """Whether the button that was pressed closes a round that is not answered yet; if not, says why."""
    project = ctx.project
    current = ctx.store.round(project.id, project.round)
    before = ctx.store.round(project.id, project.round - 1)
    if current is None or current.state != RoundState.OPEN:
        return False  # handled once the pool is ranked
    reason = ""
    missing = training.missing_for_training(labels)
    if missing:
        reason = f"a model needs {missing}"
    elif before is not None and before.digest == training.digest(labels) and not training.is_model_gone():
        reason = "there is no label that the last model has not seen"
    if reason:
        ctx.notice("button", f"Start Training was pressed, but {reason}.")
        ctx.store.change(project, trainings_handled=project.trainings_requested)
        return False
    ctx.notice("button", "")
    return True


def _train(ctx: Context, training: RoundTraining) -> tuple[StoredOutput, ClosedRound]:
    """Trains the round's model on the device, which the caller holds, after another pretext learner if one is needed."""
    rounds = Rounds.of(ctx)
    following = ctx.project.round + 1

    def candidates() -> Ids:
        rounds.cut_batches(following)
        return rounds.candidates(following)

    if needs_new_learner(PoolRanking.of(ctx), training) and ctx.retries.may_run(ctx.project, JobKind.RANK):
        rank(ctx, from_scratch=True)
    try:
        return training.train(candidates, lambda event: report(ctx, event), lambda: keep_serving(ctx))
    except TrainingImpossible as error:
        if rounds.is_answered() or not rounds.is_closed_early():
            ctx.retries.failed(ctx.project, JobKind.LEARN)
        else:
            _keep_open(ctx, error)
        raise
    except StoreCorrupt as error:
        if error.part is not Part.MASKS:
            raise
        training.forget_damaged_labels()
        ctx.retries.failed(ctx.project, JobKind.LEARN)
        raise TrainingImpossible(error.message, "Its annotation is read again, and training tried again in a minute.") from error


def _keep_open(ctx: Context, error: TrainingImpossible) -> None:
    """Withdraws the request to close a round early: it goes on, so that people can supply what the training lacked."""
    again = f"Round {ctx.project.round} was not closed and goes on. Once that is put right, close it again."
    ctx.store.change(ctx.project, round_to_close=0)
    ctx.notice("close", f"{error} {again}")


def _open_next(ctx: Context, training: RoundTraining, scored: StoredOutput, closed: ClosedRound) -> None:
    ctx.log("a model has learned %s labels, in %.1f s.", closed.labels, sum(closed.seconds.values()))
    ctx.retries.succeeded(ctx.project, JobKind.LEARN)
    ctx.phase(Phase.PUBLISHING)
    sync.catch_up(ctx)
    ctx.lease.require()
    Rounds.of(ctx).open_next(scored, closed)
    training.forget_old_models()
    PoolRanking.of(ctx).forget_old_learners()
