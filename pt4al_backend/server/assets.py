"""Scripts and styles of the pages, and the chart library: files that browsers keep until they change."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from zlib import crc32

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException

FOLDER = Path(__file__).parent / "static"
PLOTLY = "plotly.min.js"
KINDS = {".css": "text/css", ".js": "text/javascript"}
KEPT = "private, max-age=31536000, immutable"

router = APIRouter(include_in_schema=False)


def address(name: str) -> str:
    """Where a page finds a file. The address changes with the file, so that no browser runs an old one."""
    return f"/static/{name}?v={_version(name)}"


@router.get("/static/{name}")
def asset(name: str, request: Request) -> Response:
    """One file."""
    path = _files().get(name)
    if path is None:
        raise HTTPException(404)
    is_of_this_version = request.query_params.get("v") == _version(name)
    return FileResponse(
        path,
        media_type=KINDS[path.suffix],
        headers={"Cache-Control": KEPT if is_of_this_version else "no-cache", "X-Content-Type-Options": "nosniff"},
    )


@cache
def _files() -> dict[str, Path]:
    """The files by name; no other name is looked up on the disk."""
    found = {path.name: path for path in FOLDER.iterdir() if path.suffix in KINDS}
    plotly = find_spec("plotly")  # not imported: that takes a second, and the script alone is needed
    if plotly is not None and plotly.origin is not None:
        found[PLOTLY] = Path(plotly.origin).parent / "package_data" / PLOTLY
    return found


@cache
def _version(name: str) -> str:
    return f"{crc32(_files()[name].read_bytes()):08x}"
