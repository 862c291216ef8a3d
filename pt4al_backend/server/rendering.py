"""Pages for people: how a template becomes an answer. Nothing is loaded from elsewhere, and no script stands in a page."""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pt4al_backend import __version__
from pt4al_backend.errors import PT4ALError
from pt4al_backend.phases import PHASES
from pt4al_backend.server import assets
from pt4al_backend.server.status import SERVED_MODELS, ProjectStatus

#: The pages of a project: the end of the address, and what the tab says.
TABS: Mapping[str, str] = {
    "": "Overview",
    "next": "Next in the queue",
    "map": "Map",
    "quality": "Quality",
    "act": "Act",
    "settings": "Settings",
    "take-away": "Take away",
}


def wants_page(request: Request) -> bool:
    """Whether a browser wants a page to show."""
    return request.method == "GET" and "text/html" in request.headers.get("accept", "")


def error_page(error: PT4ALError, headers: Mapping[str, str]) -> Response:
    """An error for a person."""
    return page("error.html", error.status, headers, error=error)


def panel(tab: str, template: str, project: ProjectStatus, **values: Any) -> Response:
    """One of the pages of a project; ``tab`` is its key in ``TABS``."""
    return page(template, id=project.id, title=project.title, tab=tab, project=project, **values)


def page(template: str, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any) -> Response:
    """A template of the folder ``templates``, filled. ``nonce`` admits a style element, for what a chart writes into it."""
    nonce = secrets.token_urlsafe(16)
    allowed = f"default-src 'none'; style-src 'self' 'nonce-{nonce}'; script-src 'self'; connect-src 'self'; frame-src 'self'; "
    policy = allowed + "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return _rendered(template, status, headers, policy, nonce=nonce, **values)


def chart_frame(template: str) -> Response:
    """A page for a sandboxed frame, whose chart library makes code of text. It has no origin, and so reads nothing of ours."""
    nonce = secrets.token_urlsafe(16)
    allowed = f"default-src 'none'; style-src 'self' 'nonce-{nonce}'; script-src 'self' 'unsafe-eval'; img-src data:; "
    policy = allowed + "sandbox allow-scripts; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    return _rendered(template, 200, None, policy, nonce=nonce)


def _rendered(template: str, status: int, headers: Mapping[str, str] | None, policy: str, **values: Any) -> Response:
    text = _templates.get_template(template).render(version=__version__, **values)
    guards = {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return HTMLResponse(text, status, {**(headers or {}), **guards})


def _date(seconds: float | None) -> str:
    """A time, by the minute; format.js shows it by the clock and the customs of the browser."""
    if not seconds:
        return "—"
    moment = datetime.fromtimestamp(seconds, UTC)
    return Markup('<time datetime="{}">{}</time>').format(f"{moment:%Y-%m-%dT%H:%M:%SZ}", f"{moment:%Y-%m-%d %H:%M UTC}")


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
    found.globals.update(phases=PHASES, served_models=SERVED_MODELS, tabs=TABS, static=assets.address)
    return found


_templates = _environment()
