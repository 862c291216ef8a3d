"""An error as JSON: what went wrong, and what to change. The one form of all that a program is refused with."""

from collections.abc import Mapping

from pydantic import BaseModel
from starlette.responses import JSONResponse


class ErrorAnswer(BaseModel):
    """What went wrong, and what to change."""

    error: str
    remedy: str


def error_answer(status: int, error: str, remedy: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer with this HTTP status."""
    return JSONResponse(ErrorAnswer(error=error, remedy=remedy).model_dump(), status, headers)
