"""Ranking: the pretext learner, and the order of the pool by its losses.

Its training is a job in a folder of its own (see ``jobs.folder``). A folder that is already there is resumed, so a restart loses
what came after the last checkpoint. Late images are scored by the learner that there is.
"""

import shutil
import time
from pathlib import Path
from typing import Self

import numpy as np

from pt4al_backend import artefacts
from pt4al_backend.aliases import Ids
from pt4al_backend.engine import staleness, sync
from pt4al_backend.engine.context import Context, Outcome
from pt4al_backend.engine.during_jobs import device, keep_serving, report
from pt4al_backend.engine.project_jobs import ProjectJobs, number_of
from pt4al_backend.engine.rounds import Rounds
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.jobs.folder import job_of, prepare, sound_job_of
from pt4al_backend.jobs.manifest import LearnerManifest
from pt4al_backend.jobs.run import OnTick, Runner
from pt4al_backend.jobs.spec import JobKind, RankSpec
from pt4al_backend.progress import Report
from pt4al_backend.query.ranking import insert, sweep
from pt4al_backend.state.tasks import Ranking

LEARNER_GONE = (
    "The pretext learner is missing or damaged. It is trained again before the next model; "
    "a training that is resumed until then starts from fresh weights."
)
SAFER_ORDER = "The batches are therefore drawn at random, not by pretext loss."  # see query.ranking.cut_batches


class PoolRanking:
    """Ranks the pool of one project; ``runner`` is where its jobs run."""

    def __init__(self, jobs: ProjectJobs, runner: Runner) -> None:
        self._store = jobs.store
        self._settings = jobs.settings
        self._project = jobs.project
        self._options = jobs.options
        self._jobs = jobs
        self._runner = runner

    @classmethod
    def of(cls, ctx: Context) -> Self:
        """The ranking of the project that a look is at."""
        return cls(ProjectJobs.of(ctx), ctx.resources.runner)

    def is_outgrown(self) -> bool:
        """Whether another pretext learner is needed (see ``staleness``)."""
        images = self._store.fetched_count(self._project.id)
        return staleness.is_outgrown(self._jobs.learner, self._options, self._project.learner_pool, images)

    def is_unranked(self) -> bool:
        """Whether fetched images wait for a pretext loss."""
        return self._store.has_unranked(self._project.id)

    def rank(self, on_progress: Report, on_tick: OnTick, *, from_scratch: bool = False) -> None:
        """Trains the pretext learner if there is none, or ``from_scratch``; else scores late arrivals and gives them a batch.

        Raises:
            TrainingImpossible: the message says why.
        """
        learner = self._jobs.learner
        folder = self._jobs.folder / f"rank-{number_of(learner.parent) + 1 if learner else 1}"
        if folder.exists() and not staleness.is_current(sound_job_of(folder), self._jobs):
            shutil.rmtree(folder)
        if from_scratch or folder.exists() or not artefacts.is_complete(learner):
            self._train_learner(folder, on_progress, on_tick)
        if self.is_unranked():
            self._score_arrivals(on_progress, on_tick)

    def _train_learner(self, folder: Path, on_progress: Report, on_tick: OnTick) -> None:
        if job_of(folder) is None:
            tasks = self._jobs.fetched()
            prepare(folder, self._jobs.rank(), rows=tasks.rows, ids=tasks.ids)
        result = self._runner.run(folder, on_progress, on_tick)
        self._adopt(result, np.load(folder / "ids.npy"))
        self.forget_old_learners()

    def _adopt(self, result: Path, ids: Ids) -> None:
        losses, quality = np.load(result / "losses.npy"), LearnerManifest.read(result).quality
        rounds = Rounds(self._store, self._project, self._options)
        pool = rounds.pool()
        order = np.argsort(ids)
        known = np.isin(pool.ids, ids)
        pool.losses[known] = losses[order][np.searchsorted(ids, pool.ids[known], sorter=order)]
        batch_ids, batches = rounds.batches(pool, max(self._project.round, 1), meaningful=quality.meaningful, from_scratch=True)
        learner = str(result.relative_to(self._settings.data_dir))
        self._store.adopt_ranking(self._project, Ranking(ids, losses, batch_ids, batches, learner, quality))

    def encoder(self) -> str:
        """What the pretrained encoder is that the pool was ranked with, and where its weights came from; "" if there is none."""
        weights = LearnerManifest.read(self._jobs.learner).weights if self._jobs.learner else None
        if weights is None:
            return ""
        origin = f"weights from {weights.source}, SHA-256 {weights.sha256[:8]}…"
        return f"The encoder is {weights.encoder} (licence {weights.licence}), {origin}."

    def is_learner_gone(self) -> bool:
        """Whether the pretext learner's weights are missing or damaged."""
        return self._jobs.learner is not None and not artefacts.has_sound(self._jobs.learner, artefacts.WEIGHTS)

    def forget_old_learners(self) -> None:
        """Deletes those that were replaced; a job of a round that was cut short is resumed from the learner that it names."""
        trainings = (each for kind in (JobKind.LEARN, JobKind.FULL) for each in self._jobs.folder.glob(f"{kind}-*"))
        jobs = filter(None, map(job_of, trainings))
        named = {job.learner.parent.name for job in jobs if job.learner}
        now = Path(self._project.learner).parent
        for folder in self._jobs.folder.glob("rank-*"):
            if now.name and number_of(folder) < number_of(now) and folder.name not in named:
                shutil.rmtree(folder)

    def _scoring(self) -> RankSpec:
        """Scores by the learner that there is, and as it was trained: the next one may be on another encoder."""
        learner = self._jobs.learner
        trained_with = LearnerManifest.read(learner).settings if learner else self._options
        return self._jobs.rank(learner).model_copy(update={"settings": trained_with})

    def _score_arrivals(self, on_progress: Report, on_tick: OnTick) -> None:
        folder = self._jobs.folder / "score"
        shutil.rmtree(folder, ignore_errors=True)  # quick to repeat, and more may have arrived
        tasks = self._jobs.fetched()
        late = tasks.where(np.isnan(tasks.losses))
        prepare(folder, self._scoring(), rows=late.rows)
        losses = np.load(self._runner.run(folder, on_progress, on_tick) / "losses.npy")
        ranked = tasks.where(np.isfinite(tasks.losses) & (tasks.batches > 0))
        last = int(ranked.batches.max()) if len(ranked) else 1
        still_open = sweep(last, self._options.batch_order)[self._project.round % last :]
        batches = insert(losses, ranked.losses, ranked.batches, int(still_open.min()), int(still_open.max()))
        self._store.set_tasks(self._project.id, {"id": late.ids, "loss": losses, "batch": batches})
        shutil.rmtree(folder)


def step(ctx: Context) -> Outcome:
    """Ranks what is fetched and has no loss."""
    ranking = PoolRanking.of(ctx)
    if ranking.is_unranked() and ctx.retries.may_run(ctx.project, JobKind.RANK):
        with device(ctx) as is_free:
            if not is_free:
                return Outcome.WAITING
            rank(ctx)
    ctx.notice("learner", LEARNER_GONE if ranking.is_learner_gone() else "")
    return Outcome.DONE


def rank(ctx: Context, *, from_scratch: bool = False) -> None:
    """Ranks the pool on the device, which the caller holds.

    A failure stops nothing: the safer order needs no losses, and the notice says so.
    """
    ranking, start = PoolRanking.of(ctx), time.monotonic()
    try:
        ranking.rank(lambda event: report(ctx, event), lambda: keep_serving(ctx), from_scratch=from_scratch)
    except TrainingImpossible as error:
        ctx.warn(error)
        ctx.retries.failed(ctx.project, JobKind.RANK)
        ctx.notice("pretext", f"Ranking failed and is tried again later; images go unranked until then. {error}")
        return
    ctx.log("%s images are ranked, in %.1f s.", ctx.store.fetched_count(ctx.project.id), time.monotonic() - start)
    ctx.retries.succeeded(ctx.project, JobKind.RANK)
    ctx.notice("learner", "")
    if ctx.options.pretrained_encoder:
        ctx.notice("weights", "")  # the notice of the encoder says where they came from
        ctx.notice("encoder", ranking.encoder())
    quality = ctx.project.quality
    ctx.notice("pretext", "" if quality.meaningful else f"{quality.reason} {SAFER_ORDER}")
    sync.catch_up(ctx)
