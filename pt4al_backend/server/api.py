"""Where the projects stand, for programs: JSON, and Prometheus' text format."""

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

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


@router.get("/metrics", response_class=PlainTextResponse, **documented())
def metrics(services: Served) -> PlainTextResponse:
    """Counts and gauges in Prometheus' text format."""
    return PlainTextResponse(services.metrics.page(), media_type=PROMETHEUS)
