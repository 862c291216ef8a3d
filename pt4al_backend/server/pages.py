"""Pages for people: the list of projects, a project's status. Rendered here, with nothing loaded from elsewhere."""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pt4al_backend import __version__
from pt4al_backend.errors import PT4ALError
from pt4al_backend.phases import PHASES
from pt4al_backend.server.services import Served

REFRESH_SECONDS = 3


def wants_page(request: Request) -> bool:
    """Whether a browser wants a page to show."""
    return request.method == "GET" and "text/html" in request.headers.get("accept", "")


def error_page(error: PT4ALError, headers: Mapping[str, str]) -> Response:
    """An error for a person."""
    return _page("error.html", error.status, headers, error=error)


router = APIRouter(include_in_schema=False)


@router.get("/")
def home(request: Request, services: Served) -> Response:
    """The list of projects."""
    if not wants_page(request):
        return JSONResponse({"status": "UP"})  # old Label Studio releases probe the root
    return _page("projects.html", projects=services.statuses.all())


@router.get("/projects/{project}")
def project(project: str, services: Served) -> Response:
    """A project's status."""
    return _page("project.html", project=services.statuses.find(project), refresh=REFRESH_SECONDS)


@router.get("/projects/{project}/status")
def status(project: str, services: Served) -> Response:
    """The part of the page that changes."""
    return _page("status.html", project=services.statuses.find(project))


def _page(template: str, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any) -> Response:
    nonce = secrets.token_urlsafe(16)
    text = _templates.get_template(template).render(nonce=nonce, version=__version__, **values)
    allowed = f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; "
    guards = {
        "Content-Security-Policy": allowed + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return HTMLResponse(text, status, {**(headers or {}), **guards})


def _date(seconds: float | None) -> str:
    """A time, by the minute."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC") if seconds else "—"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    if whole < 90 * 60:
        return f"{round(whole / 60)} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _percent(share: float | None) -> str:
    return "—" if share is None else f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def _measure(metric: str) -> str:
    """A metric's name at the beginning of a line: "Accuracy", "mIoU"."""
    return metric.capitalize() if metric.islower() else metric


def _class_measure(metric: str) -> str:
    """What a metric is the mean of over the classes."""
    return {"mAP": "Average precision", "mIoU": "IoU"}.get(metric, _measure(metric))


def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(date=_date, duration=_duration, percent=_percent, measure=_measure, class_measure=_class_measure)
    found.globals["phases"] = PHASES
    return found


_templates = _environment()
