"""The list of projects."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from pt4al_backend.server.rendering import page, wants_page
from pt4al_backend.server.services import Served

router = APIRouter(include_in_schema=False)


@router.get("/")
def home(request: Request, services: Served) -> Response:
    """The list of projects."""
    if not wants_page(request):
        return JSONResponse({"status": "UP"})  # old Label Studio releases probe the root
    return page("projects.html", projects=services.statuses.all())
