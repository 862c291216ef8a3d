"""One look at a project: the steps in their order. Each does only what is missing, from whatever state is on disk."""

import time

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.engine import intake, publish, query, serving, sync
from pt4al_backend.engine.context import Context, Outcome, Step
from pt4al_backend.engine.query import Rounds
from pt4al_backend.engine.retries import Work
from pt4al_backend.engine.serving import device, keep_serving, report
from pt4al_backend.engine.sync import Sync
from pt4al_backend.engine.train import LabelSplit, Trainer
from pt4al_backend.errors import LabelStudioError, TrainingImpossible
from pt4al_backend.phases import Phase
from pt4al_backend.query.plan import StoredOutput
from pt4al_backend.state.rounds import ClosedRound
from pt4al_backend.state.schema import RoundState

SAFER_ORDER = "The batches are therefore drawn at random, not by pretext loss."  # see query.plan.cut


def reconcile(ctx: Context) -> Outcome:
    """Moves a project forward until it waits for people.

    Raises:
        LeaseLost, SettingsChanged: the look ends where it stands.
        PT4ALError: what the user has to change.
    """
    outcomes = set()
    for step in STEPS:
        ctx.lease.require()
        outcomes.add(step(ctx))
    return Outcome.WITHHELD if Outcome.WITHHELD in outcomes else Outcome.DONE


def register(ctx: Context) -> Outcome:
    """Repairs what Label Studio keeps about this backend.

    A project is looked at as soon as Label Studio requests /setup; it makes connection and webhook a moment later.
    """
    if ctx.full_sync_due or ctx.project.notices.get("webhook"):
        ctx.notice("webhook", ctx.registration.repair_webhook())
    if ctx.full_sync_due and not ctx.project.view_made:
        try:
            ctx.store.change(ctx.project, view_made=ctx.registration.add_view())
        except LabelStudioError as error:  # a convenience: the queue is served without it
            ctx.warn(error)
    return Outcome.DONE


def rest(ctx: Context) -> Outcome:
    """Shows what the project waits for, and does what no round has to wait for."""
    rounds = Rounds.of(ctx)
    pool = rounds.pool()
    if not len(pool):
        ctx.phase(Phase.WAITING_FOR_TASKS)
    elif sum(rounds.unanswered()) or not pool.answered.all():
        ctx.phase(Phase.LABELLING)
    else:
        ctx.phase(Phase.EXHAUSTED)
    if ctx.project.notices.get("webhook"):
        ctx.notice("webhook", ctx.registration.repair_webhook())
    if ctx.full_sync_due:
        Sync(ctx.store, ctx.client, ctx.project, ctx.reader).full()
    return publish.prune(ctx)


def rank(ctx: Context) -> Outcome:
    """Ranks what is fetched and has no loss."""
    if _trainer(ctx).is_unranked():
        _rank(ctx)
    return Outcome.DONE


def learn(ctx: Context) -> Outcome:
    """Trains and opens rounds for as long as the open one is answered."""
    while (outcome := _turn(ctx)) is None:
        publish.step(ctx)
    return outcome


STEPS: tuple[Step, ...] = (
    register,
    publish.keep_served,
    sync.step,
    query.start,
    publish.step,
    intake.step,
    rank,
    query.open_first,
    publish.step,
    learn,
    serving.lengthen,
    rest,
)


def _trainer(ctx: Context) -> Trainer:
    return Trainer(ctx.store, ctx.settings, ctx.project, ctx.options, ctx.reader, ctx.worker.runner)


def _rank(ctx: Context, *, from_scratch: bool = False) -> None:
    """Nothing to rank by is no obstacle: the safer order needs no losses, and the notice says so."""
    if not ctx.retries.may_run(ctx.project, Work.RANK):
        return
    try:
        with device(ctx):
            start = time.monotonic()
            _trainer(ctx).rank(
                Rounds.of(ctx), lambda event: report(ctx, event), lambda: keep_serving(ctx), from_scratch=from_scratch
            )
    except TrainingImpossible as error:
        ctx.warn(error)
        ctx.retries.failed(ctx.project, Work.RANK)
        ctx.notice("pretext", f"Ranking failed and is tried again later; images go unranked until then. {error}")
        return
    ctx.log("%s images are ranked, in %.1f s.", len(Rounds.of(ctx).pool()), time.monotonic() - start)
    ctx.retries.succeeded(ctx.project, Work.RANK)
    quality = ctx.project.quality
    ctx.notice("pretext", "" if quality.get("meaningful") else f"{quality.get('reason', '')} {SAFER_ORDER}")
    sync.catch_up(ctx)


def _turn(ctx: Context) -> Outcome | None:
    """Trains when the round is answered or the button was pressed, and opens the next round; None if it did."""
    trainer = _trainer(ctx)
    labels = trainer.take_labels()
    if not _is_due(ctx, labels):
        return Outcome.DONE
    if not ctx.retries.may_run(ctx.project, Work.LEARN):
        return Outcome.WITHHELD
    missing = trainer.missing_for_training(labels)
    if missing:
        ctx.lease.require()
        ctx.notice("classes", f"A model needs {missing}: the next round follows the ranking, without a model.")
        Rounds.of(ctx).open_next(StoredOutput(), ClosedRound(labels=len(labels.train)))
    else:
        ctx.notice("classes", "")
        _train(ctx)
    ctx.store.change(ctx.project, trainings_handled=ctx.project.trainings_requested)
    return None


def _is_due(ctx: Context, labels: LabelSplit) -> bool:
    project = ctx.project
    if Rounds.of(ctx).is_answered():
        return True
    if project.trainings_requested <= project.trainings_handled:
        return False
    current = ctx.store.round(project.id, project.round)
    before = ctx.store.round(project.id, project.round - 1)
    if current is None or current.state != RoundState.OPEN:
        return False  # handled once the pool is ranked
    trainer = _trainer(ctx)
    reason = ""
    missing = trainer.missing_for_training(labels)
    if missing:
        reason = f"a model needs {missing}"
    elif before is not None and before.digest == trainer.digest(labels):
        reason = "there is no label that the last model has not seen"
    if reason:
        ctx.notice("button", f"Start Training was pressed, but {reason}.")
        ctx.store.change(project, trainings_handled=project.trainings_requested)
        return False
    ctx.notice("button", "")
    return True


def _train(ctx: Context) -> None:
    rounds, trainer = Rounds.of(ctx), _trainer(ctx)
    following = ctx.project.round + 1

    def candidates() -> NDArray[np.int64]:
        rounds.cut_batches(following)
        return rounds.candidates(following)

    if trainer.outgrown():
        _rank(ctx, from_scratch=True)
    try:
        with device(ctx):
            scored, closed = trainer.train(candidates, lambda event: report(ctx, event), lambda: keep_serving(ctx))
    except TrainingImpossible:
        ctx.retries.failed(ctx.project, Work.LEARN)
        raise
    ctx.log("a model has learned %s labels, in %.1f s.", closed.labels, sum(closed.seconds.values()))
    ctx.retries.succeeded(ctx.project, Work.LEARN)
    ctx.phase(Phase.PUBLISHING)
    sync.catch_up(ctx)
    ctx.lease.require()
    rounds.open_next(scored, closed)
    trainer.forget_old_models()
