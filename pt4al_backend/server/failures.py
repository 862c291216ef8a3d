"""Errors as answers: a page for a browser, JSON for programs, and a line in the log where it is the backend's fault."""

import logging

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pt4al_backend.engine.work_queue import QUEUE_ERRORS
from pt4al_backend.errors import BadRequest, PT4ALError
from pt4al_backend.server import protocol
from pt4al_backend.server.error_answer import error_answer
from pt4al_backend.server.redaction import Redaction
from pt4al_backend.server.rendering import error_page, wants_page
from pt4al_backend.state.store import REMEDY, cause_of

log = logging.getLogger(__name__)

#: What the state and the queue raise when they cannot be read or written.
STATE_ERRORS: tuple[type[Exception], ...] = (DBAPIError, PoolTimeout, *QUEUE_ERRORS)


class HttpError(PT4ALError):
    """What the framework itself refuses: no such route, no such method."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(f"{message}.", "The routes are listed at /openapi.json.")
        self.status = status


class StateUnavailable(PT4ALError):
    """The state or the queue could not be read or written."""

    status = 503


#: Every kind of error that `answer` handles.
ANSWERED = (PT4ALError, HTTPException, RequestValidationError, RecursionError, *STATE_ERRORS)


def answer(request: Request, error: Exception) -> Response:
    """Every error but the unexpected ones, as what the client can read: a page for a browser, JSON for the rest."""
    known = _known(error)
    if known.status >= 500 or protocol.is_refused_setup(request, known):
        cause = f" ({getattr(error, 'orig', None) or error})" if isinstance(known, StateUnavailable) else ""
        log.warning("%s %s: %s%.500s", request.method, request.url.path, known, cause)
    headers = getattr(error, "headers", None) or {}
    if known.status == 413:
        headers = {**headers, "Connection": "close"}  # the rest of the body is not read
    shown = _shown(known, request.app.state.services.redaction)
    if wants_page(request):
        return error_page(shown, headers)
    return protocol.refused(request, shown, headers)


def _known(error: Exception) -> PT4ALError:
    if isinstance(error, PT4ALError):
        return error
    if isinstance(error, HTTPException):
        return HttpError(str(error.detail), error.status_code)
    if isinstance(error, RequestValidationError):
        return BadRequest("Invalid query in the address.", "See /openapi.json.")
    if isinstance(error, RecursionError):
        return BadRequest("The body is nested too deeply.", "Send JSON as Label Studio does.")
    return StateUnavailable(f"The state cannot be read or written ({cause_of(error)}).", REMEDY)


def _shown(error: PT4ALError, redaction: Redaction) -> PT4ALError:
    """The same error without folders and addresses of this machine."""
    shown = PT4ALError(redaction.hide(error.message), redaction.hide(error.remedy))
    shown.status = error.status
    return shown


class LastResort:
    """Answers where nothing else did: the client learns that something broke, the log learns what.

    Not an exception handler for Exception: Starlette raises the error again behind its answer, and outside of the other
    middleware, so that the log would have it twice and the metrics not at all. No answer may be taken for another type.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def note(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("X-Content-Type-Options", "nosniff")
            await send(message)

        try:
            await self._app(scope, receive, note)
        except Exception:
            log.exception("%s %s failed.", scope.get("method"), scope.get("path"))
            if started:
                raise
            broken = error_answer(
                500,
                "Internal error.",
                "The log has the traceback: standard error of `pt4al start` or `pt4al web`. Please report it.",
            )
            await broken(scope, receive, note)
