"""Where the projects stand, for programs: JSON, and Prometheus' text format."""

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, StreamingResponse

from pt4al_backend.server.events import CAN_STREAM, MEDIA_TYPE, NotListening
from pt4al_backend.server.openapi import documented
from pt4al_backend.server.services import Served
from pt4al_backend.server.status import ProjectStatus

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"

router = APIRouter(tags=["Status"])


@router.get("/api/projects", **documented())
def projects(services: Served) -> list[ProjectStatus]:
    """Where every connected project stands."""
    return services.statuses.all()


@router.get("/api/projects/{project}", **documented(not_found=True))
def project(project: str, services: Served) -> ProjectStatus:
    """Where a project stands."""
    return services.statuses.find(project)


@router.get("/api/projects/{project}/events", **documented(not_found=True, files=[MEDIA_TYPE]))
async def events(project: str, request: Request, services: Served) -> StreamingResponse:
    """Server-sent events (`text/event-stream`): one named `change` at once, and one whenever the project has changed.

    The data of an event is JSON: `revision`, `phase`, `round`, `labelled` and `model_version`. At most 64 listeners are served at
    a time. More are answered with 503, and so are all where label-studio-ml's own server hosts the backend.
    """
    status = await to_thread.run_sync(services.statuses.find, project)
    if not request.scope.get(CAN_STREAM, True):
        raise NotListening("This server cannot keep an answer open.", "Ask for the project now and then.")
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(services.events.listen(status.id), media_type=MEDIA_TYPE, headers=headers)


@router.get("/metrics", response_class=PlainTextResponse, **documented())
def metrics(services: Served) -> PlainTextResponse:
    """Counts and gauges in Prometheus' text format."""
    return PlainTextResponse(services.metrics.page(), media_type=PROMETHEUS)
