"""The map: the pool in two dimensions, coloured by what is known of each image.

Places and colours are two answers. Places change when the layout does, and browsers keep them; colours change with every label.
"""

import gzip
import json
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from pt4al_backend.engine.access import client_for, registration_for
from pt4al_backend.engine.insights import map_layout
from pt4al_backend.engine.snapshot import Snapshot
from pt4al_backend.errors import PT4ALError, StoreCorrupt
from pt4al_backend.jobs.image_vectors import MadeBy
from pt4al_backend.jobs.layout import LaidOut, newest
from pt4al_backend.label_studio.registration import MAP_VIEW
from pt4al_backend.server.actions import Done, acting
from pt4al_backend.server.openapi import documented
from pt4al_backend.server.panels.map_colours import Colours, MapColours, Placed
from pt4al_backend.server.protocol import answer
from pt4al_backend.server.rendering import chart_frame, panel
from pt4al_backend.server.requests import MOST_CHOSEN, MOST_SHOWN, ShowRequest
from pt4al_backend.server.services import Served, Services
from pt4al_backend.server.words import project_address
from pt4al_backend.state.paths import project_dir
from pt4al_backend.state.schema import ActionKind, Project

#: Places are whole numbers from 0 to this: finer than any screen.
SIDE = 9_999
NO_FEATURES = (
    "The images of this project are not described: an earlier version has ranked it, or its encoder is another one since. The "
    "next ranking describes them: when the pool has grown by a fifth, or with another pretext task or encoder in the settings."
)
NO_IMAGES = "There is no image to draw: none is there yet, or all are set aside. Quality says why, and what to do."
DRAWING = "The map is drawn in the background once the images are described and ranked. Large pools take some minutes."


class MapState(StrEnum):
    """Whether there is a map."""

    DRAWN = "drawn"
    DRAWING = "drawing"
    FAILED = "failed"
    NO_FEATURES = "no features"
    NO_IMAGES = "no images"


class MapPlaces(BaseModel):
    """Where the images lie. The columns ``tasks``, ``x`` and ``y`` belong together."""

    state: MapState
    why: str = Field(description="why there is no map, a sentence; empty if there is one")
    version: str = Field(description="of the layout; that of the colours has to be the same")
    images: int
    without_features: int = Field(description="images of the pool that were not described yet and are not on the map")
    made_at: float | None
    by: MadeBy | None = Field(description="whose features place the images: a pretrained encoder's or the pretext learner's")
    tasks: list[int]
    x: list[int] = Field(description=f"0 to {SIDE}")
    y: list[int] = Field(description=f"0 to {SIDE}, upwards")


class Shown(Done):
    """Label Studio shows the tasks."""

    address: str | None = Field(description="where; null if Label Studio has not said its address")


class _Drawn(NamedTuple):
    """A layout, and what is sent of it: ``MapPlaces`` as JSON, plain and compressed."""

    placed: Placed
    plain: bytes
    packed: bytes


router = APIRouter(tags=["Pages"])


@router.get("/api/projects/{project}/map", response_model=MapPlaces, **documented(not_found=True, cached=True))
def places(project: str, request: Request, services: Served) -> Response:
    """Where the images lie. Browsers keep it: the answer has an ETag, and is 304 while the layout is the same."""
    known = services.project(project)
    drawn = _drawn(services, known)
    if drawn is None:
        return _answer(request, _undrawn(services, known).model_dump_json().encode())
    return _answer(request, drawn.plain, drawn.packed, drawn.placed.version)


@router.get("/api/projects/{project}/map/colours", response_model=MapColours, **documented(not_found=True, cached=True))
def colours(project: str, request: Request, services: Served) -> Response:
    """What the images are coloured by, in the order of their places. Empty columns where there is no map."""
    known = services.project(project)
    drawn = _drawn(services, known)
    return _answer(request, *services.reader(Colours).of(services, known, drawn.placed if drawn else None))


@router.post("/api/projects/{project}/map/view", tags=["Actions"], **documented(ShowRequest, not_found=True, busy=True))
async def show(project: str, request: Request, services: Served) -> Shown:
    """Shows tasks in a tab of Label Studio's Data Manager, which the next request gives other tasks."""

    def make(received: ShowRequest) -> Shown:
        wanted = acting(project, request, services)
        known, settings = wanted.project, services.backend.settings
        registration = registration_for(settings, services.store, client_for(settings, known), known.id)
        view = registration.show_tasks(received.tasks)
        wanted.note_done(ActionKind.SHOW_TASKS, f"{len(received.tasks)} in the tab {MAP_VIEW!r}")  # everybody sees that tab
        found = project_address(known)
        return Shown(
            project=known.id,
            message=f"The tab {MAP_VIEW!r} of the Data Manager shows them.",
            address=f"{found}?tab={view}" if found else None,
        )

    return await answer(request, services, ShowRequest, make)


@router.get("/projects/{project}/map", include_in_schema=False)
def page(project: str, services: Served) -> Response:
    """The map for people."""
    status = services.statuses.find(project)
    known = services.project(project)
    result = newest(project_dir(services.backend.settings, known))  # which the script asks for, and hears if it is damaged
    undrawn = None if result else _undrawn(services, known)
    return panel("map", "map.html", status, undrawn=undrawn, address=project_address(known), most=MOST_CHOSEN, shown=MOST_SHOWN)


@router.get("/map/frame", include_in_schema=False)
def frame() -> Response:
    """What draws the points, in a frame that the page holds."""
    return chart_frame("map_frame.html")


def _answer(request: Request, plain: bytes, packed: bytes | None = None, version: str = "") -> Response:
    """JSON, compressed where the client takes that, and only if it has changed."""
    headers = {"Cache-Control": "private, no-cache", "Vary": "Accept-Encoding", "ETag": f'"{version or crc32(plain)}"'}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(plain, media_type="application/json", headers=headers)
    return Response(
        gzip.compress(plain, 5) if packed is None else packed,
        media_type="application/json",
        headers={**headers, "Content-Encoding": "gzip"},
    )


def _undrawn(services: Services, project: Project) -> MapPlaces:
    """The answer where there is no map."""
    folder = project_dir(services.backend.settings, project)
    if not services.store.has_pool(project.id):
        state, why = MapState.NO_IMAGES, NO_IMAGES
    elif not _is_possible(services, project):
        state, why = MapState.NO_FEATURES, NO_FEATURES
    elif problem := services.redaction.hide(map_layout.problem(folder), project.hostname):
        state, why = MapState.FAILED, f"The map could not be drawn. {problem}"
    else:
        state, why = MapState.DRAWING, DRAWING
    nothing: dict[str, list[int]] = {"tasks": [], "x": [], "y": []}
    return MapPlaces(state=state, why=why, version="", images=0, without_features=0, made_at=None, by=None, **nothing)


def _is_possible(services: Services, project: Project) -> bool:
    try:
        return map_layout.is_possible(Snapshot.of(services.backend.settings, services.store, project))
    except PT4ALError:  # the engine reports it
        return True


def _drawn(services: Services, project: Project) -> _Drawn | None:
    """The newest layout of a project, if there is one."""
    result = newest(project_dir(services.backend.settings, project))
    if result is None:
        return None
    try:
        return _read(result, result.stat().st_mtime_ns)
    except (StoreCorrupt, FileNotFoundError):  # replaced or forgotten meanwhile, or damaged: the worker makes another one
        return None


@lru_cache(maxsize=4)
def _read(result: Path, _: int) -> _Drawn:
    found = LaidOut.load(result)
    version = found.manifest.fingerprint[:16]
    positions = found.layout.positions.astype(np.float64)
    scale = SIDE / max(float(np.ptp(positions, axis=0).max()), 1e-9)
    x, y = np.rint((positions - positions.min(0)) * scale).astype(int).T.tolist()
    answer = MapPlaces.model_construct(
        state=MapState.DRAWN,
        why="",
        version=version,
        images=len(found.tasks),
        without_features=found.manifest.without_features,
        made_at=found.manifest.made_at,
        by=found.manifest.by,
        tasks=found.tasks.tolist(),
        x=x,
        y=y,
    )
    plain = json.dumps(vars(answer), separators=(",", ":")).encode()
    return _Drawn(Placed(version, found.tasks, found.rows), plain, gzip.compress(plain, 6))
