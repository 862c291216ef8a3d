"""The routes that Label Studio calls: /health, /setup, /predict, /webhook, and /train and /versions beside them.

Bodies are read with a limit and checked in a thread. Pydantic parses them outside of Python's objects, and makes
objects only of what is declared here: 10 MB of a webhook hold the interpreter, and with it the event loop, for 20 ms
instead of 110.
"""

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, TypeVar
from urllib.parse import quote_plus

import pydantic_core
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, Field, Strict, ValidationError

from pt4al_backend import __version__
from pt4al_backend.errors import BadRequest, PT4ALError, UnknownProject
from pt4al_backend.server.backend import LARGEST_ID, START_TRAINING, Backend, project_number
from pt4al_backend.server.metrics import Metrics
from pt4al_backend.server.status import Statuses

PREDICTING = 8  # requests that may wait for a model or for images at a time; webhooks have other threads
BODY_SECONDS = 60.0
LONGEST_REFUSAL = 1000
PLAIN = "'(),;:=$!*/"  # characters that an address shows as they are
LEGIBLE = str.maketrans({'"': "'", "<": "(", ">": ")", "…": "..."})  # for some of those that it does not

Json = dict[str, Any]
Id = Annotated[int, Strict(), Field(gt=0, le=LARGEST_ID)]
Text = Annotated[str, Strict()]


class TooLong(PT4ALError):
    """A body exceeds what the settings allow."""

    status = 413


class TooSlow(PT4ALError):
    """A body did not arrive in time."""

    status = 408


class Setup(BaseModel):
    """Label Studio introduces a project."""

    project: Any
    schema_: Text = Field(alias="schema")
    hostname: Text | None = None
    access_token: Text | None = None
    extra_params: Json | Text | None = None


class Task(BaseModel):
    """What of a task is needed to answer for it."""

    id: Id
    data: Json = {}


class Predict(BaseModel):
    """Label Studio asks for predictions."""

    project: Any
    tasks: list[Task]


class EventProject(BaseModel):
    """The project that something happened in."""

    id: Id


class Event(BaseModel):
    """Something happened in a project."""

    action: Text
    project: EventProject


class Named(BaseModel):
    """A body that names a project: by its id, as "id.created", or as an object with an id."""

    project: Any

    @property
    def number(self) -> int:
        """The project's id."""
        return project_number(self.project.get("id") if isinstance(self.project, dict) else self.project)


Body = TypeVar("Body", bound=BaseModel)


async def read(request: Request, limit: int) -> bytes:
    """The request's body.

    Raises:
        TooLong: it has more than ``limit`` bytes; the rest is not read.
        TooSlow: it takes longer than a minute.
    """
    too_long = TooLong(
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
        raise TooSlow(f"The body did not arrive within {BODY_SECONDS:g} s.", "Look for a slow proxy in between.") from None
    return b"".join(parts)


def parse(kind: type[Body], body: bytes) -> Body:
    """Checks a body.

    Raises:
        BadRequest: naming the key; never quoting the value, which may be a secret.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
    wrong = [f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}" for problem in problems[:3]]
    raise BadRequest(f"The body is not what this route takes. {'; '.join(wrong)}.", "Send JSON as Label Studio does.")


def refused(request: Request, error: PT4ALError, headers: Mapping[str, str]) -> Response:
    """An error as the answer.

    Label Studio 1.23 shows its user the address and the status of a refused /setup, and drops the body. So it, and it
    alone, is led to an address that says what is wrong and answers with the same status.
    """
    is_setup = request.method == "POST" and request.url.path.endswith("/setup") and error.status == 400
    if is_setup and request.headers.get("user-agent", "").startswith("heartex/"):
        words = str(error)[:LONGEST_REFUSAL].replace(" > ", " / ").translate(LEGIBLE)
        return RedirectResponse(f"setup?refused={quote_plus(words, safe=PLAIN)}", 303)
    return JSONResponse({"error": error.message, "remedy": error.remedy}, error.status, dict(headers))


def router(serving: Backend, statuses: Statuses, metrics: Metrics) -> APIRouter:
    """The routes, for one app."""
    routes = APIRouter(tags=["Label Studio"])
    limit = serving.settings.webhook_max_bytes
    predicting = CapacityLimiter(PREDICTING)

    @routes.get("/health")
    async def health() -> Json:
        """Says that the web process is up; needs no credentials."""
        return {"status": "UP", "model_class": "PT4AL", "version": __version__}

    @routes.post("/setup")
    async def setup(request: Request) -> Json:
        """Connects a project, or takes over what changed. Answers with the model version last published."""

        def work(body: bytes) -> Json:
            said = parse(Setup, body)
            given = {name: getattr(said, name) for name in said.model_fields_set & {"hostname", "access_token", "extra_params"}}
            return {"model_version": serving.connect(project_number(said.project), said.schema_, **given)}

        return await run_in_threadpool(work, await read(request, limit))

    @routes.get("/setup", include_in_schema=False)
    async def refusal(refused: str = "") -> JSONResponse:
        """Where Label Studio is led to when a /setup is refused."""
        return JSONResponse({"error": refused or "Post to this route, as Label Studio does.", "remedy": ""}, 400)

    @routes.post("/predict")
    async def predict(request: Request) -> Response:
        """One prediction for each task, in their order, within the time limit."""
        deadline = time.monotonic() + serving.settings.predict_seconds

        def work(body: bytes) -> bytes:
            asked = parse(Predict, body)
            tasks = [{"id": task.id, "data": task.data} for task in asked.tasks]
            return pydantic_core.to_json({"results": serving.answer(project_number(asked.project), tasks, deadline)})

        body = await read(request, limit)
        return Response(await to_thread.run_sync(partial(work, body), limiter=predicting), media_type="application/json")

    @routes.post("/webhook")
    async def webhook(request: Request) -> Json:
        """Notes that something happened; a worker looks what."""

        def work(body: bytes) -> Json:
            event = parse(Event, body)
            serving.note(event.project.id, event.action)
            metrics.count_event(event.action)
            statuses.note_event(event.project.id)
            return {"status": "ok", "project": event.project.id}

        return await run_in_threadpool(work, await read(request, limit))

    @routes.post("/train")
    async def train(request: Request) -> Json:
        """Start Training, as the button in Label Studio does."""

        def work(body: bytes) -> Json:
            number = parse(Named, body).number
            serving.note(number, START_TRAINING)
            return {"status": "ok", "project": number}

        return await run_in_threadpool(work, await read(request, limit))

    @routes.get("/versions")
    def all_versions() -> Json:
        """Model versions of all projects: Label Studio asks without saying for which."""
        return {"versions": sorted({version for number in serving.store.project_ids() for version in versions(number)})}

    @routes.post("/versions")
    async def project_versions(request: Request) -> Json:
        """Model versions of one project, oldest first."""

        def work(body: bytes) -> Json:
            number = parse(Named, body).number
            if not serving.knows(number):
                raise UnknownProject(number)
            return {"versions": versions(number)}

        return await run_in_threadpool(work, await read(request, limit))

    def versions(number: int) -> list[str]:
        return [publication.version for publication in serving.store.publications(number, "old", "live")]

    return routes
