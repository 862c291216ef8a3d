"""Which model is served where rounds train heads: the head, or one whose encoder is trained too.

Beside the looks the two are compared when labels have grown enough (see ``learn.frozen.comparison``), and where training the
encoder wins, such a model is trained on all labels. A look serves it once it is there, for as long as the last comparison favours
it and it is of the settings, classes and encoder that the project has. The head goes on asking, and answers in all other cases.
Images that come after its training the served model answers beside the looks too.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.config import ProjectSettings
from pt4al_backend.engine import served_model
from pt4al_backend.engine.context import Context, Outcome
from pt4al_backend.engine.device import Device
from pt4al_backend.engine.job_series import JobSeries
from pt4al_backend.engine.labels import LabelSplit
from pt4al_backend.engine.project_jobs import ProjectJobs
from pt4al_backend.engine.publish import ServedQueue
from pt4al_backend.engine.rounds import Rounds, last_output
from pt4al_backend.engine.snapshot import Snapshot
from pt4al_backend.engine.work_queue import QUEUE_ERRORS
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.jobs.folder import is_under_way, job_of, prepare
from pt4al_backend.jobs.manifest import AnswersManifest, ComparisonManifest, ModelManifest
from pt4al_backend.jobs.run import LocalRunner, Runner
from pt4al_backend.jobs.spec import CompareSpec, FullSpec, JobKind
from pt4al_backend.learn.frozen.comparison import MOST_LABELS, Comparison, is_due, is_outgrown
from pt4al_backend.measures import FullModel
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.progress import silent
from pt4al_backend.query import plan

log = logging.getLogger(__name__)

#: Topic of the sentence that people read.
TOPIC = "tuning"


class _Yielded(Exception):
    """Another job wants the device, or the project is paused or has other settings: the job goes on later, if at all."""


class Comparing:
    """Compares and trains for one project at a time, while nobody else wants the ``device``.

    ``doorbell`` requests a look at those who do, and at a project that something is known of.
    """

    def __init__(self, device: Device, doorbell: Callable[[int], None], runner: Runner | None = None) -> None:
        self._device, self._doorbell, self._runner = device, doorbell, runner or LocalRunner()
        self._answered: dict[int, tuple[str, int]] = {}  # of a project: the model that had answered all of so many images

    def refresh(self, snapshot: Snapshot) -> None:
        """Compares, or trains the model that won, if that is due; or goes on with what was cut short.

        Raises:
            Superseded: the project is forgotten.
            PT4ALError, OSError: it cannot be done now.
        """
        jobs = snapshot.jobs
        if (
            not _compares(snapshot.options, snapshot.reader.task)
            or jobs.learner is None
            or snapshot.project.paused_at is not None
        ):
            return
        series, folder = _comparisons(jobs), _comparison_due(snapshot)
        if folder is None:
            series, folder = _full_models(jobs), _full_model_due(snapshot)
        if folder is None and (model := served_model.full_model(snapshot.settings.data_dir, snapshot.project).model):
            series, folder = self._later_answers_due(snapshot, model)
        if folder is not None:
            self._do(snapshot, series, folder)

    def _later_answers_due(self, snapshot: Snapshot, model: str) -> tuple[JobSeries, Path | None]:
        """As ``_answers_due`` says, which reads the pool: it is asked again only where images came since it said none."""
        result, asked = snapshot.settings.data_dir / model, (model, snapshot.project.next_row)
        if self._answered.get(snapshot.project.id) == asked:
            return served_model.later(result), None
        series, folder = _answers_due(snapshot, result)
        if folder is None:
            self._answered[snapshot.project.id] = asked
        return series, folder

    def _do(self, snapshot: Snapshot, series: JobSeries, folder: Path) -> None:
        if is_under_way(folder):
            return
        found = []
        try:
            with self._device.hold() as has_device:
                if has_device:
                    before = series.last() if series.kind is JobKind.ANSWER else None  # somebody may be reading it
                    result = self._runner.run(folder, silent, lambda: _require(snapshot))
                    if series.kind is not JobKind.FULL:  # a model is served until the next look
                        series.keep_only(before or result)
                    found.append(snapshot.project.id)
        except TrainingImpossible as error:
            if series.kind is not JobKind.ANSWER:  # which is tried again after a while; what learns, with more labels
                series.failed(folder, error)
            found.append(snapshot.project.id)
            raise
        except _Yielded:
            pass
        finally:
            self._ring(snapshot, found)

    def _ring(self, snapshot: Snapshot, found: list[int]) -> None:
        try:
            for project_id in [*snapshot.store.waiting_for_device(), *found]:
                self._doorbell(project_id)
        except QUEUE_ERRORS as error:
            log.warning("Projects that wait for the device are looked at with the next poll: %s", error)


def step(ctx: Context) -> Outcome:
    """Decides which model is served, and says why; the open round's picks get its answers."""
    full, why = _decided(ctx) if _compares(ctx.options, ctx.reader.task) else (FullModel(), "")
    before = ctx.project.full_model
    if full.model == before.model and full.later != before.later:
        _take_later_answers(ctx)
    if full != before:
        ctx.store.change(ctx.project, full_model=full)
    if full.model != before.model:
        ctx.log(
            "%s answers from now on.", f"A model of {full.labels} labels whose encoder is trained" if full.model else "The head"
        )
    if full.model:
        _full_models(ProjectJobs.of(ctx)).keep_only(ctx.settings.data_dir / full.model)
    if not ServedQueue.of(ctx).is_by(ctx.project.round):
        Rounds.of(ctx).answer_again(last_output(ctx.settings, ctx.project, ctx.options))
    ctx.notice(TOPIC, why)
    return Outcome.DONE


def _take_later_answers(ctx: Context) -> None:
    """Gives picks of the open round whose image came after the served model's training the answers that it has given since."""
    found = served_model.answers(ctx.settings.data_dir, ctx.project)
    known = {} if found is None else dict(zip(found.ids.tolist(), found.labels.tolist(), strict=True))
    picks = [pick for pick in ctx.store.picks(ctx.project.id, ctx.project.round) if pick.kind != PickKind.CONTROL]
    if any(known.get(pick.task_id, pick.label) != pick.label for pick in picks):
        ServedQueue.of(ctx).renew(ctx.project.round)  # first: what is not sent after a crash would stay without them
        Rounds.of(ctx).answer_again(last_output(ctx.settings, ctx.project, ctx.options))


def _decided(ctx: Context) -> tuple[FullModel, str]:
    """The model to be served in place of the head, if any, and what people read."""
    jobs = ProjectJobs.of(ctx)
    found = _last_comparison(jobs)
    if not ctx.project.model:
        return FullModel(), ""
    if found is None:
        return _decided_elsewhere(ctx, jobs)
    series = _full_models(jobs)
    result = series.newest(jobs.full()) if found.full_wins else None
    full = FullModel() if result is None else _described(result, ctx.settings.data_dir)
    compared = _comparisons(jobs).newest(jobs.compare())
    if compared is not None:  # other hosts go by the same one
        full = full.model_copy(update={"comparison": str(compared.relative_to(ctx.settings.data_dir))})
    return full, sentence(found, ctx.reader.task, full, series.why_failed(jobs.full()))


def _decided_elsewhere(ctx: Context, jobs: ProjectJobs) -> tuple[FullModel, str]:
    """What the state says, if another host compared and this one never did, for as long as the model fits; else the head."""
    known = ctx.project.full_model
    result = ctx.settings.data_dir / known.model
    job = job_of(result.parent) if known.model and _comparisons(jobs).is_empty else None
    if job is None or not job.is_current(jobs.full(), anywhere=True) or not served_model.is_sound(result):
        return FullModel(comparison=known.comparison), ""
    return known, ctx.project.notices.get(TOPIC, "")


def _described(result: Path, data_dir: Path) -> FullModel:
    manifest, last = ModelManifest.known(result), served_model.later(result).last()
    answers = AnswersManifest() if last is None else AnswersManifest.known(last)
    if manifest is None or answers is None:
        return FullModel()
    name = str(result.relative_to(data_dir))
    return FullModel(model=name, labels=manifest.train_size, later=answers.images, control=manifest.control)


def sentence(found: Comparison, task: str, full: FullModel, failure: str = "") -> str:
    """Which model is served, and why; ``failure`` says why the one that won could not be trained."""
    of = "" if task == "classification" else " of the decisions"
    both = (
        f"On {found.images:,} labelled images that they had not learned, the head was right on {found.head:.1%}{of}, and a model "
        f"whose encoder is trained too on {found.full:.1%}"
    )
    if not found.full_wins:
        chance = ", which may be chance" if found.full > found.head else ""
        return f"{both}{chance}: the head is served."
    if full.model:
        return (
            f"{both}. So the latter is served, trained on {full.labels:,} labels; the head still chooses what is labelled next."
        )
    if failure:
        return f"{both}. The head is served all the same, as the latter could not be trained: {failure}"
    return f"{both}. The latter is trained on all labels in the background, and served when it is there; until then the head is."


def _compares(options: ProjectSettings, task: str) -> bool:
    return options.tuning == "auto" and plan.on_features(options, task)


def _comparisons(jobs: ProjectJobs) -> JobSeries:
    return JobSeries(jobs.folder, JobKind.COMPARE)


def _full_models(jobs: ProjectJobs) -> JobSeries:
    return JobSeries(jobs.folder, JobKind.FULL, served_model.is_sound)


def _require(snapshot: Snapshot) -> None:
    snapshot.require()
    project = snapshot.store.project(snapshot.project.id)
    if project is None or project.paused_at is not None or project.params != snapshot.project.params:
        raise _Yielded
    if snapshot.store.waiting_for_device():
        raise _Yielded


def _comparison_due(snapshot: Snapshot) -> Path | None:
    """The folder of the comparison that is to be made or resumed; None if none is."""
    jobs, series = snapshot.jobs, _comparisons(snapshot.jobs)
    wanted = jobs.compare()
    if (folder := series.unfinished(wanted)) is not None:
        return folder
    tried = series.tried(wanted)
    labels = _labels(snapshot).train
    if not is_due(len(labels), tried.labels if isinstance(tried, CompareSpec) else 0):
        return None
    folder = series.following()
    drawn = np.sort(np.random.default_rng(snapshot.options.seed).permutation(len(labels))[:MOST_LABELS])
    train = {name: values[drawn] for name, values in _training_data(snapshot, labels).items()}
    prepare(folder, wanted.model_copy(update={"labels": len(labels)}), train=train, rows=jobs.fetched().rows)
    return folder


def _full_model_due(snapshot: Snapshot) -> Path | None:
    """The folder of the model with a trained encoder that is to be trained or resumed; None if none is."""
    jobs, series = snapshot.jobs, _full_models(snapshot.jobs)
    found, wanted = _last_comparison(jobs), jobs.full()
    if found is None or not found.full_wins:
        return None
    if (folder := series.unfinished(wanted)) is not None:
        return folder
    tried = series.tried(wanted)
    labels = _labels(snapshot)
    if not is_outgrown(len(labels.train), tried.labels if isinstance(tried, FullSpec) else 0):
        return None
    folder, tasks = series.following(), jobs.fetched()
    prepare(
        folder,
        wanted.model_copy(update={"labels": len(labels.train), "temperature": found.temperature}),
        train=_training_data(snapshot, labels.train),
        control=_training_data(snapshot, labels.control),
        candidates=tasks.rows,
        candidate_ids=tasks.ids,
    )
    return folder


def _answers_due(snapshot: Snapshot, model: Path) -> tuple[JobSeries, Path | None]:
    """The job in which a served model answers images that came, or took another's place, after its training; None if none did."""
    series = served_model.later(model)
    wanted = snapshot.jobs.answer(model, series.last())
    if _full_models(snapshot.jobs).newest(snapshot.jobs.full()) != model:  # a look serves a newer one, and deletes this
        return series, None
    if (folder := series.unfinished(wanted)) is not None:
        return series, folder
    tasks = served_model.unanswered(model, snapshot.jobs.fetched())
    if not len(tasks):
        return series, None
    folder = series.following()
    prepare(folder, wanted, candidates=tasks.rows, candidate_ids=tasks.ids)
    return series, folder


def _labels(snapshot: Snapshot) -> LabelSplit:
    return snapshot.labels(train_on_accepted=snapshot.options.train_on_accepted)


def _training_data(snapshot: Snapshot, labels: dict[int, str]) -> dict[str, NDArray[Any]]:
    """Rows of labelled tasks, and their labels."""
    tasks = snapshot.jobs.fetched()
    row_of = dict(zip(tasks.ids.tolist(), tasks.rows.tolist(), strict=True))
    return {"rows": np.array([row_of[task] for task in labels], np.int64), "labels": np.array(list(labels.values()), np.str_)}


def _last_comparison(jobs: ProjectJobs) -> Comparison | None:
    """What the newest comparison found, if it is of the encoder, the classes and the settings that the project has."""
    result = _comparisons(jobs).newest(jobs.compare())
    found = None if result is None else ComparisonManifest.known(result)
    if found is None or not found.images:
        return None
    return Comparison(found.images, found.head, found.full, found.error, found.temperature)
