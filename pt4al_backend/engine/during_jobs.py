"""Keeps a project served while its look is busy with images or a job, and while the device is at another project's job."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pt4al_backend.engine import people, publish, sync
from pt4al_backend.engine.context import Context, Outcome
from pt4al_backend.engine.rounds import Rounds, last_output
from pt4al_backend.engine.work_queue import QUEUE_ERRORS
from pt4al_backend.errors import LabelStudioError
from pt4al_backend.label_studio.client import NotFound
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress

PROGRESS_SECONDS = 0.5  # between two writes of the progress
SERVE_SECONDS = 1.0  # between two looks at the answers


class SettingsChanged(Exception):
    """The project's settings are not those that this look began with."""


def report(ctx: Context, progress: Progress) -> None:
    """Shows how far a job or a step is."""
    now = time.monotonic()
    if progress.note:  # where weights come from says something of the model; the rest passes with the training
        ctx.log("%s", progress.note)
        ctx.notice("weights" if progress.phase is Phase.PREPARING else "training", progress.note)
    if now - ctx.reported_at >= PROGRESS_SECONDS:
        ctx.reported_at = now
        ctx.show(progress)


def keep_serving(ctx: Context) -> None:
    """Takes over answers and lengthens the queue; Label Studio being away does not stop a training.

    Raises:
        LeaseLost: so that a training ends that another worker may have begun as well.
        NotConnected: so that a training ends whose project is let go.
        Paused: so that a training ends whose project is paused.
        SettingsChanged: so that a training that they made pointless ends now; any other is resumed from its checkpoint.
    """
    if time.monotonic() - ctx.served_at < SERVE_SECONDS:
        return
    ctx.lease.require()
    try:
        ctx.require()
    except NotFound:
        raise SettingsChanged from None  # the project itself is gone: another look finds out
    except LabelStudioError as error:
        ctx.warn(f"While it trains: {error}")
    current = ctx.store.project(ctx.project.id)
    if current is not None and current.params != ctx.project.params:
        raise SettingsChanged
    if current is not None and current.requests != ctx.requests_seen:
        ctx.requests_seen = current.requests
        ctx.store.refresh(ctx.project, "trainings_requested")
        try:
            sync.catch_up(ctx)
            people.step(ctx)
            publish.step(ctx)
            lengthen(ctx)
        except LabelStudioError as error:
            ctx.warn(f"While it trains: {error}")
    ctx.served_at = time.monotonic()


def lengthen(ctx: Context) -> Outcome:
    """Lengthens the queue when it runs short: one who keeps the rest of a query to themselves must not stop the others."""
    if Rounds.of(ctx).lengthen(lambda: last_output(ctx.settings, ctx.project, ctx.options)):
        publish.step(ctx)
    return Outcome.DONE


def drop_copies(ctx: Context) -> Outcome:
    """Serves one of identical images, while the pool is ranked as well: a round may start before its images are known."""
    if Rounds.of(ctx).drop_copies():
        publish.step(ctx)
    return Outcome.DONE


@contextmanager
def device(ctx: Context) -> Iterator[bool]:
    """Holds the device for a job; False if another job has it. Then the project is looked at again when it is free."""
    hold = ctx.resources.device.hold
    with ExitStack() as stack:
        is_free = stack.enter_context(hold())
        if not is_free:
            _note_waiting(ctx)
            is_free = stack.enter_context(hold())  # released before that was noted: nobody rings
        if not is_free:
            yield False
            return
        if ctx.project.device_wanted_at is not None:
            ctx.store.change(ctx.project, device_wanted_at=None)
        ctx.notice("weights", "")
        try:
            yield True
        finally:
            stack.close()
            _ring(ctx)
            ctx.notice("training", "")


def _note_waiting(ctx: Context) -> None:
    ctx.phase(Phase.WAITING_FOR_DEVICE)
    if ctx.project.device_wanted_at is None:
        ctx.store.change(ctx.project, device_wanted_at=time.time())


def _ring(ctx: Context) -> None:
    """Requests a look at the projects that wait for the device, beginning with the one that has waited longest."""
    if ctx.resources.doorbell is None:
        return
    try:
        for project_id in ctx.store.waiting_for_device():
            ctx.resources.doorbell(project_id)
    except QUEUE_ERRORS as error:
        ctx.warn(f"Projects that wait for the device are looked at with the next poll: {error}")
