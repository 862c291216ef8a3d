"""One look at a project: the steps in their order. Each does only what is missing, from whatever state is on disk."""

from pt4al_backend.engine import (
    disconnected,
    during_jobs,
    encoder,
    intake,
    model_choice,
    people,
    publish,
    ranking,
    refill,
    rounds,
    sync,
    train,
)
from pt4al_backend.engine.context import GOES_ON, Context, Outcome, Step
from pt4al_backend.engine.rounds import Rounds
from pt4al_backend.engine.sharing.frames_and_features import share_rows
from pt4al_backend.engine.sharing.jobs import share_jobs
from pt4al_backend.errors import LabelStudioError, RunnerUnavailable
from pt4al_backend.phases import Phase


def reconcile(ctx: Context) -> Outcome:
    """Moves a project forward until it waits for people.

    Where no job can run, all is done that needs none, so that people go on labelling for as long as that lasts.

    Raises:
        LeaseLost, SettingsChanged: the look ends where it stands.
        PT4ALError: what the user has to change.
    """
    if ctx.project.paused_at is not None:
        return stand_still(ctx)
    outcomes = {Outcome.DONE}
    away: RunnerUnavailable | None = None
    for step in STEPS:
        ctx.lease.require()
        try:
            outcomes.add(step(ctx))
        except RunnerUnavailable as error:
            away = error
            break
        if outcomes & GOES_ON:
            break
    ctx.lease.require()
    during_jobs.lengthen(ctx)
    if not outcomes & GOES_ON and away is None:
        show_rest(ctx)
    ctx.lease.require()
    tidy(ctx)
    if away is not None:
        raise away
    return max(outcomes, key=lambda outcome: outcome.value)


def stand_still(ctx: Context) -> Outcome:
    """What a paused project gets: its answers are taken over. Nothing is fetched, trained or published."""
    if ctx.project.to_put_back:
        disconnected.put_back(ctx.store, ctx.settings, ctx.project)
    sync.step(ctx)
    if ctx.full_sync_due:
        sync.full(ctx)
    if ctx.project.device_wanted_at is not None:
        ctx.store.change(ctx.project, device_wanted_at=None)
    ctx.phase(Phase.PAUSED)
    return Outcome.DONE


def register(ctx: Context) -> Outcome:
    """Repairs what Label Studio keeps about this backend.

    A project is looked at as soon as Label Studio requests /setup; it makes connection and webhook a moment later.
    """
    if ctx.full_sync_due or ctx.project.notices.get("webhook"):
        ctx.notice("webhook", ctx.registration.repair_webhook())
        if ctx.registration.host and not ctx.project.backend_host:  # it connected before an upgrade, or hosted by another server
            ctx.store.change(ctx.project, backend_host=ctx.registration.host)
    if ctx.full_sync_due and not ctx.project.view_made:
        try:
            ctx.store.change(ctx.project, view_made=ctx.registration.add_view())
        except LabelStudioError as error:  # a convenience: the queue is served without it
            ctx.warn(error)
    return Outcome.DONE


def show_rest(ctx: Context) -> None:
    """Shows what the project waits for, now that nothing is left to do."""
    if ctx.project.device_wanted_at is not None:
        ctx.store.change(ctx.project, device_wanted_at=None)  # what it was wanted for is not due any more
    has_pool = ctx.store.has_pool(ctx.project.id)
    left_out = 0 if has_pool else ctx.store.task_count(ctx.project.id)
    ctx.notice("pool", f"All {left_out:,} tasks are set aside, as listed below: none has a usable image." if left_out else "")
    if not has_pool:
        ctx.phase(Phase.WAITING_FOR_TASKS)
    else:
        ctx.phase(Phase.LABELLING if Rounds.of(ctx).waits_for_people() else Phase.EXHAUSTED)


def tidy(ctx: Context) -> None:
    """Does what no round has to wait for."""
    if ctx.project.notices.get("webhook"):
        ctx.notice("webhook", ctx.registration.repair_webhook())
    if ctx.full_sync_due:
        sync.full(ctx)
    publish.prune(ctx)


#: What moves the project forward. A step that must wait, or leaves the rest for its next turn, ends them.
STEPS: tuple[Step, ...] = (
    register,
    share_jobs,
    publish.repair_served,
    sync.step,
    rounds.start,
    people.step,
    publish.step,
    intake.step,
    share_rows,
    during_jobs.drop_copies,
    refill.step,
    encoder.step,
    ranking.step,
    train.learn_brought,
    rounds.open_first,
    model_choice.step,
    publish.step,
    train.step,
)
