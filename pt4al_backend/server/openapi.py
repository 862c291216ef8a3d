"""What openapi.json adds to the signatures of the routes: bodies, which are read by hand, and errors."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.responses import Response
from pydantic.json_schema import models_json_schema

from pt4al_backend.server.error_answer import ErrorAnswer
from pt4al_backend.server.requests import BODIES, Body

SCHEMAS = "#/components/schemas/{model}"
OF_EVERY_ROUTE = (401, 503)
OF_A_BODY = (400, 408, 413)


def documented(
    body: type[Body] | None = None,
    *,
    query: bool = False,
    not_found: bool = False,
    busy: bool = False,
    cached: bool = False,
    made: bool = False,
    files: Sequence[str] = (),
) -> dict[str, Any]:
    """Arguments of a route: the body that it reads, and the errors that it answers with; ``query``: to the address as well.

    ``cached``: it may answer that nothing has changed. ``made``: another process makes what it sends, and may fail. ``files``:
    media types of what it sends, where that is not JSON.
    """
    errors = {*OF_EVERY_ROUTE, *(OF_A_BODY if body else ())}
    errors |= {status for status, is_given in ((400, query), (404, not_found), (409, busy), (500, made)) if is_given}
    described: dict[str, Any] = {"responses": {status: {"model": ErrorAnswer} for status in sorted(errors)}}
    if cached:
        described["responses"][304] = {"description": "It has not changed since the one whose ETag the request names."}
    if files:
        content = {each: {"schema": {"type": "string", "format": "binary"}} for each in files}
        described |= {"response_class": Response, "responses": {200: {"content": content}, **described["responses"]}}
    if body:
        schema = {"$ref": SCHEMAS.format(model=body.__name__)}
        described["openapi_extra"] = {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
    return described


class DocumentedApp(FastAPI):
    """An app whose openapi.json knows the bodies of `requests`, and no answer that the app never gives."""

    def openapi(self) -> dict[str, Any]:
        described = super().openapi()
        _, bodies = models_json_schema([(body, "validation") for body in BODIES], ref_template=SCHEMAS)
        schemas = {**described["components"]["schemas"], **bodies["$defs"]}
        for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own answer, which `failures.answer` replaces
            schemas.pop(name, None)
        described["components"]["schemas"] = schemas
        for route in (route for path in described["paths"].values() for route in path.values()):
            route["responses"].pop("422", None)
        for path, routes in described["paths"].items():
            if path.startswith("/api/") and "post" in routes:
                refused = {**routes["post"]["responses"]["401"], "description": "The post comes from a page of another site."}
                routes["post"]["responses"]["403"] = refused
        return described
