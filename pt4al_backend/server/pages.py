"""The list of projects, and a project's overview."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from pt4al_backend.server.rendering import page, panel, wants_page
from pt4al_backend.server.services import Served

REFRESH_SECONDS = 3

router = APIRouter(include_in_schema=False)


@router.get("/")
def home(request: Request, services: Served) -> Response:
    """The list of projects."""
    if not wants_page(request):
        return JSONResponse({"status": "UP"})  # old Label Studio releases probe the root
    return page("projects.html", projects=services.statuses.all())


@router.get("/projects/{project}")
def project(project: str, services: Served) -> Response:
    """A project's overview."""
    return panel("", "overview.html", services.statuses.find(project), refresh=REFRESH_SECONDS)


@router.get("/projects/{project}/status")
def status(project: str, services: Served) -> Response:
    """The part of the overview that changes."""
    return page("status.html", project=services.statuses.find(project))
