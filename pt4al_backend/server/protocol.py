"""The routes that Label Studio calls: /health, /setup, /predict, /webhook, and /train and /versions beside them.

Bodies are read with a limit, and parsed and answered in a thread, so that none of them holds the event loop.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import quote_plus

import pydantic_core
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect

from pt4al_backend import __version__
from pt4al_backend.errors import PT4ALError
from pt4al_backend.server.auth import host_name, is_from_page
from pt4al_backend.server.error_answer import error_answer
from pt4al_backend.server.openapi import documented
from pt4al_backend.server.predictions import TaskPrediction
from pt4al_backend.server.requests import (
    START_TRAINING,
    Body,
    PredictRequest,
    SetupRequest,
    TrainRequest,
    VersionsRequest,
    WebhookEvent,
)
from pt4al_backend.server.services import Served, Services

BODY_SECONDS = 60.0
LONGEST_REFUSAL = 1000
PLAIN = "'(),;:=$!*/"  # characters that an address shows as they are
LEGIBLE = str.maketrans({'"': "'", "<": "(", ">": ")", "…": "..."})  # for some of those that it does not

Received = TypeVar("Received", bound=Body)
Result = TypeVar("Result")


class BodyTooLong(PT4ALError):
    """A body exceeds what the settings allow."""

    status = 413


class BodyTooSlow(PT4ALError):
    """A body did not arrive in time."""

    status = 408


class ClientLeft(PT4ALError):
    """The client closed the connection before its body was complete; nobody reads the answer."""

    status = 400


class Health(BaseModel):
    """The web process is up."""

    status: str = "UP"
    model_class: str = "PT4AL"
    version: str = __version__
    instance: str = Field(description="tells this backend from others: the same for all processes that share its state")


class SetupAnswer(BaseModel):
    """The model version that was last published, empty before the first."""

    model_version: str


class PredictAnswer(BaseModel):
    """One prediction for each task, in their order."""

    results: list[TaskPrediction]


class Noted(BaseModel):
    """A worker will look at the project."""

    status: str = "ok"
    project: int


class Versions(BaseModel):
    """Model versions that were published."""

    versions: list[str]


async def read(request: Request, limit: int) -> bytes:
    """The request's body.

    Raises:
        BodyTooLong: it has more than ``limit`` bytes; the rest is not read.
        BodyTooSlow: it takes longer than a minute.
        ClientLeft: it never comes.
    """
    too_long = BodyTooLong(
        f"The body is longer than {limit:,} bytes.", "Send fewer tasks at a time, or raise PT4AL_WEBHOOK_MAX_BYTES."
    )
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced[:20]) > limit:
        raise too_long
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise too_long
                parts.append(part)
    except TimeoutError:
        raise BodyTooSlow(f"The body did not arrive within {BODY_SECONDS:g} s.", "Check for a slow proxy in between.") from None
    except ClientDisconnect:
        raise ClientLeft("The connection was closed before the body was complete.") from None
    return b"".join(parts)


async def answer(
    request: Request,
    services: Services,
    kind: type[Received],
    work: Callable[[Received], Result],
    limiter: CapacityLimiter | None = None,
) -> Result:
    """Reads the body as ``kind``, and does ``work`` with it in a thread; ``limiter`` bounds how many there are."""
    body = await read(request, services.body_limit)
    return await to_thread.run_sync(lambda: work(kind.from_json(body)), limiter=limiter)


router = APIRouter(tags=["Label Studio"])


@router.get("/health")
async def health(services: Served) -> Health:
    """Whether the web process is up; needs no credentials."""
    return Health(instance=services.backend.instance.id)


@router.post("/setup", **documented(SetupRequest))
async def setup(request: Request, services: Served) -> SetupAnswer:
    """Connects a project, or takes over what changed. Answers with the model version last published."""

    name = "" if is_from_page(request.headers) else host_name(request.headers)

    def connect(received: SetupRequest) -> SetupAnswer:
        return SetupAnswer(model_version=services.backend.connect(received, name))

    return await answer(request, services, SetupRequest, connect)


@router.get("/setup", include_in_schema=False)
async def setup_refusal(refused: str = "") -> JSONResponse:
    """Where Label Studio is redirected to when a /setup is refused."""
    return error_answer(400, refused or "Post to this route, as Label Studio does.", "")


@router.post("/predict", response_model=PredictAnswer, **documented(PredictRequest))
async def predict(request: Request, services: Served) -> Response:
    """One prediction for each task, in their order, within the time limit."""
    deadline = time.monotonic() + services.backend.settings.predict_seconds

    def results(received: PredictRequest) -> bytes:
        found = services.backend.answer(received.project, received.tasks, deadline)
        return pydantic_core.to_json({"results": found})  # here: thousands of them would hold the event loop

    body = await answer(request, services, PredictRequest, results, services.predicting)
    return Response(body, media_type="application/json")


@router.post("/webhook", **documented(WebhookEvent, not_found=True))
async def webhook(request: Request, services: Served) -> Noted:
    """Notes that something happened; a worker finds out what."""

    def note(event: WebhookEvent) -> Noted:
        services.backend.note(event.project.id, event.action)
        services.metrics.count_event(event.action)
        services.statuses.note_event(event.project.id)
        return Noted(project=event.project.id)

    return await answer(request, services, WebhookEvent, note)


@router.post("/train", **documented(TrainRequest, not_found=True))
async def train(request: Request, services: Served) -> Noted:
    """Start Training, as the button in Label Studio does."""

    def note(received: TrainRequest) -> Noted:
        services.backend.note(received.project, START_TRAINING)
        return Noted(project=received.project)

    return await answer(request, services, TrainRequest, note)


@router.get("/versions", **documented())
def all_versions(services: Served) -> Versions:
    """Model versions of all projects: Label Studio asks without naming one."""
    return Versions(versions=services.backend.all_versions())


@router.post("/versions", **documented(VersionsRequest, not_found=True))
async def project_versions(request: Request, services: Served) -> Versions:
    """Model versions of one project, oldest first."""

    def versions(received: VersionsRequest) -> Versions:
        return Versions(versions=services.backend.versions(received.project))

    return await answer(request, services, VersionsRequest, versions)


def is_refused_setup(request: Request, error: PT4ALError) -> bool:
    """Whether a project does not connect because of what was sent."""
    return request.method == "POST" and request.url.path.endswith("/setup") and error.status == 400


def refused(request: Request, error: PT4ALError, headers: Mapping[str, str]) -> Response:
    """An error as the answer.

    Label Studio 1.23 shows its user the address and the status of a refused /setup, and drops the body. So it, and it
    alone, is redirected to an address that names the reason and answers with the same status.
    """
    if is_refused_setup(request, error) and request.headers.get("user-agent", "").startswith("heartex/"):
        words = str(error)[:LONGEST_REFUSAL].replace(" > ", " / ").translate(LEGIBLE)
        return RedirectResponse(f"setup?refused={quote_plus(words, safe=PLAIN)}", 303)
    return error_answer(error.status, error.message, error.remedy, headers)
