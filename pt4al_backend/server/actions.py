"""What people can do to a project, each a POST: it is written down with who did it, and a worker carries it out.

Pages of other sites cannot send these (``auth.SameSite``). Our own pages ask first.
"""

import logging

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from pt4al_backend.engine.actions import Actions
from pt4al_backend.server.auth import is_from_page
from pt4al_backend.server.openapi import documented
from pt4al_backend.server.protocol import answer
from pt4al_backend.server.requests import CloseRoundRequest, ControlPicksRequest, LabelNextRequest, WithdrawRequest
from pt4al_backend.server.services import Served, Services

LOGGED = 50

log = logging.getLogger(__name__)
router = APIRouter(tags=["Actions"])


class Done(BaseModel):
    """What follows."""

    project: int
    message: str


class LeftOut(BaseModel):
    """A task that cannot be labelled next."""

    task: int
    reason: str


class ServedNext(Done):
    """Which tasks are served before all others."""

    tasks: int = Field(description="how many")
    left_out: list[LeftOut]


class Withdrawn(Done):
    """Which people's choices are withdrawn."""

    tasks: int = Field(description="how many")


class Logged(BaseModel):
    """One thing that somebody did to a project."""

    at: float = Field(description="seconds since 1970 in UTC")
    who: str = Field(description="the user of basic auth, if that is on")
    what: str
    detail: str


class Forgotten(BaseModel):
    """The project's state and files are deleted."""

    project: int
    set_back: str = Field(description="what was set back in Label Studio, a sentence; empty if nothing was")


def who_acts(request: Request, services: Services) -> str:
    """Who sent a request, for the log."""
    unnamed = "someone at the page" if is_from_page(request.headers) else "a program"
    return services.backend.settings.basic_auth_user or unnamed


def acting(project: str, request: Request, services: Services) -> Actions:
    """What the sender of a request can do to the project that an address names.

    Raises:
        UnknownProject: it never connected.
        NotNow: Label Studio does not list this backend for it any more.
    """
    number = services.project(project).id
    return Actions(services.store, services.queue, number, who_acts(request, services))


def _done(services: Services, wanted: Actions, message: str) -> Done:
    services.statuses.expire(wanted.id)
    return Done(project=wanted.id, message=message)


_ACTION = documented(not_found=True, busy=True)


@router.get("/api/projects/{project}/actions", **documented(not_found=True))
def actions(project: str, services: Served) -> list[Logged]:
    """What people did to a project, the newest first."""
    found = services.store.actions(services.project(project).id, LOGGED)
    return [Logged(at=each.at, who=each.who, what=each.what, detail=each.detail) for each in found]


@router.post("/api/projects/{project}/train", **_ACTION)
def train(project: str, request: Request, services: Served) -> Done:
    """Trains on the labels that are in, as Start Training does."""
    wanted = acting(project, request, services)
    return _done(services, wanted, wanted.train())


@router.post("/api/projects/{project}/pause", **_ACTION)
def pause(project: str, request: Request, services: Served) -> Done:
    """Publishes and trains nothing more, until it is resumed. Answers are still recorded."""
    wanted = acting(project, request, services)
    return _done(services, wanted, wanted.pause())


@router.post("/api/projects/{project}/resume", **_ACTION)
def resume(project: str, request: Request, services: Served) -> Done:
    """Goes on where the project was paused."""
    wanted = acting(project, request, services)
    return _done(services, wanted, wanted.resume())


@router.post("/api/projects/{project}/put-back", **_ACTION)
def put_back(project: str, request: Request, services: Served) -> Done:
    """Pauses the project, and gives Label Studio back the task sampling and the model version that it had before."""
    wanted = acting(project, request, services)
    return _done(services, wanted, wanted.put_back())


@router.post("/api/projects/{project}/close-round", **documented(CloseRoundRequest, not_found=True, busy=True))
async def close_round(project: str, request: Request, services: Served) -> Done:
    """Closes a round whatever it waits for: trains on the labels that are in, and opens the next one."""

    def close(received: CloseRoundRequest) -> Done:
        wanted = acting(project, request, services)
        return _done(services, wanted, wanted.close_round(received.round))

    return await answer(request, services, CloseRoundRequest, close)


@router.post("/api/projects/{project}/control-picks", **documented(ControlPicksRequest, not_found=True, busy=True))
async def add_control_picks(project: str, request: Request, services: Served) -> Done:
    """Gives a round more control picks, until it has as many."""

    def add(received: ControlPicksRequest) -> Done:
        wanted = acting(project, request, services)
        return _done(services, wanted, wanted.add_control_picks(received.round, received.total))

    return await answer(request, services, ControlPicksRequest, add)


@router.post("/api/projects/{project}/label-next", **documented(LabelNextRequest, not_found=True, busy=True))
async def label_next(project: str, request: Request, services: Served) -> ServedNext:
    """Serves tasks before all others, in their order. Those that cannot be labelled are reported, the rest goes on."""

    def choose(received: LabelNextRequest) -> ServedNext:
        wanted = acting(project, request, services)
        left_out, message = wanted.label_next(received.tasks)
        return ServedNext(
            **dict(_done(services, wanted, message)),
            tasks=len(set(received.tasks)) - len(left_out),
            left_out=[LeftOut(task=task, reason=reason) for task, reason in left_out.items()],
        )

    return await answer(request, services, LabelNextRequest, choose)


@router.post("/api/projects/{project}/withdraw-choices", **documented(WithdrawRequest, not_found=True, busy=True))
async def withdraw_choices(project: str, request: Request, services: Served) -> Withdrawn:
    """Leaves tasks that people chose, and that nobody has answered, to the strategy again."""

    def withdraw(received: WithdrawRequest) -> Withdrawn:
        wanted = acting(project, request, services)
        count, message = wanted.withdraw_choices(received.tasks)
        return Withdrawn(**dict(_done(services, wanted, message)), tasks=count)

    return await answer(request, services, WithdrawRequest, withdraw)


@router.post("/api/projects/{project}/forget", **_ACTION)
def forget(project: str, request: Request, services: Served) -> Forgotten:
    """Deletes what is kept of a project: its rounds, models, images and log. Nothing is deleted in Label Studio."""
    number = services.project(project).id
    set_back = services.backend.forget(number)
    services.statuses.drop(number)
    log.info("Project %s was forgotten by %s.", number, who_acts(request, services))  # its own log is gone with it
    return Forgotten(project=number, set_back=set_back)
