"""The map: the pool in two dimensions, coloured by what is known of each image.

Places and colours are two answers. Places change when the layout does, and browsers keep them; colours change with every label.
"""

import gzip
import json
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from pt4al_backend.aliases import Ids
from pt4al_backend.engine import mapping, served
from pt4al_backend.engine.access import client_for, registration_for
from pt4al_backend.engine.subject import Subject
from pt4al_backend.errors import PT4ALError, StoreCorrupt
from pt4al_backend.jobs.description import Describer
from pt4al_backend.jobs.layout import LaidOut, newest
from pt4al_backend.jobs.results import read_candidates
from pt4al_backend.label_studio.registration import MAP_VIEW
from pt4al_backend.picks import PickKind
from pt4al_backend.server.actions import Done, acting
from pt4al_backend.server.openapi import documented
from pt4al_backend.server.protocol import answer
from pt4al_backend.server.rendering import chart_frame, panel
from pt4al_backend.server.requests import MOST_CHOSEN, MOST_SHOWN, ShowRequest
from pt4al_backend.server.services import Served, Services
from pt4al_backend.server.words import LabelWords, project_address
from pt4al_backend.state.paths import project_dir
from pt4al_backend.state.schema import ActionKind, Project
from pt4al_backend.state.store import Store

#: Places are whole numbers from 0 to this: finer than any screen.
SIDE = 9_999
#: What stands for nothing in a column of numbers.
NONE = -1
#: Columns of a project's row one of which changes whenever a colour does; the open round's counts do when an answer comes.
COLOURED_BY = (
    "synced_until",
    "full_sync_at",
    "round",
    "model",
    "learner",
    "served_version",
    "choices_handled",
    "next_row",
    "label_config",
    "params",
)
#: Projects whose last colours are kept: a megabyte for 100,000 images.
MOST_KEPT = 4
QUEUED = (PickKind.QUERY, PickKind.PERSON, PickKind.RESERVE, PickKind.CONTROL)

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
    by: Describer | None = Field(description="whose features place the images: a pretrained encoder's or the pretext learner's")
    tasks: list[int]
    x: list[int] = Field(description=f"0 to {SIDE}")
    y: list[int] = Field(description=f"0 to {SIDE}, upwards")


class MapColours(BaseModel):
    """What is known of the images, in the order of their places. -1 stands for nothing."""

    version: str = Field(description="of the layout whose order this is")
    round: int
    names: list[str] = Field(description="labels by their numbers in the next two columns")
    label: list[int] = Field(description="the annotators'")
    predicted: list[int] = Field(description="the last model's answer, to those that it has scored; none for control picks")
    uncertainty: list[int] = Field(description="hundredths: 100 minus the posterior of that answer")
    batch: list[int] = Field(description="PT4AL's batch; 0 before the ranking")
    queue_kinds: list[str] = Field(description="why a task is in the queue, by the numbers in the next column")
    queue: list[int] = Field(description="of the open round, as far as it waits for an answer")
    control: list[int] = Field(description="1 for those that were ever a control pick")
    gone: list[int] = Field(description="positions of images whose task is deleted, or has another image now")


class Shown(Done):
    """Label Studio shows the tasks."""

    address: str | None = Field(description="where; null if Label Studio has not said its address")


class _Drawn(NamedTuple):
    """A layout as it is sent: its version, tasks and rows int64 [n], and ``MapPlaces`` as JSON, plain and compressed."""

    version: str
    tasks: Ids
    rows: NDArray[np.int64]
    plain: bytes
    packed: bytes


router = APIRouter(tags=["Pages"])
JSON: dict[int | str, dict[str, Any]] = {304: {"description": "It has not changed since the one whose ETag the request names."}}


@router.get("/api/projects/{project}/map", response_model=MapPlaces, **documented(not_found=True))
def places(project: str, request: Request, services: Served) -> Response:
    """Where the images lie. Browsers keep it: the answer has an ETag, and is 304 while the layout is the same."""
    known = services.project(project)
    drawn = _drawn(services, known)
    if drawn is None:
        return _answer(request, _undrawn(services, known).model_dump_json().encode())
    return _answer(request, drawn.plain, drawn.packed, drawn.version)


@router.get("/api/projects/{project}/map/colours", response_model=MapColours, **documented(not_found=True))
def colours(project: str, request: Request, services: Served) -> Response:
    """What the images are coloured by, in the order of their places. Empty columns where there is no map."""
    known = services.project(project)
    kept = services.reader(_Coloured).of(services, known)
    return _answer(request, kept.plain, kept.packed)


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
    drawn = _drawn(services, known)
    undrawn = None if drawn else _undrawn(services, known)
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
    elif problem := services.places.hide(mapping.problem(folder), project.hostname):
        state, why = MapState.FAILED, f"The map could not be drawn. {problem}"
    else:
        state, why = MapState.DRAWING, DRAWING
    nothing: dict[str, list[int]] = {"tasks": [], "x": [], "y": []}
    return MapPlaces(state=state, why=why, version="", images=0, without_features=0, made_at=None, by=None, **nothing)


def _is_possible(services: Services, project: Project) -> bool:
    try:
        return mapping.is_possible(Subject.of(services.backend.settings, services.store, project))
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
    version = str(found.manifest["fingerprint"])[:16]
    positions = found.layout.positions.astype(np.float64)
    scale = SIDE / max(float(np.ptp(positions, axis=0).max()), 1e-9)
    x, y = np.rint((positions - positions.min(0)) * scale).astype(int).T.tolist()
    answer = MapPlaces.model_construct(
        state=MapState.DRAWN,
        why="",
        version=version,
        images=len(found.tasks),
        without_features=found.manifest["without_features"],
        made_at=found.manifest["made_at"],
        by=found.manifest.get("by", Describer.ENCODER),
        tasks=found.tasks.tolist(),
        x=x,
        y=y,
    )
    plain = json.dumps(vars(answer), separators=(",", ":")).encode()
    return _Drawn(version, found.tasks, found.rows, plain, gzip.compress(plain, 6))


class _Answered(NamedTuple):
    """Colours as they are sent: ``MapColours`` as JSON, plain and compressed, and the mark of the state that they are of."""

    mark: object
    plain: bytes
    packed: bytes


class _Coloured:
    """The last colours of the projects whose map was read last: to read them costs as much as the pool is large."""

    def __init__(self, _: Store) -> None:
        self._lock = Lock()  # held while colours are read: who asks meanwhile mostly wants the same ones
        self._kept: dict[int, _Answered] = {}

    def of(self, services: Services, project: Project) -> _Answered:
        """The colours of a project as it is now, or as it was if its mark is the same."""
        drawn = _drawn(services, project)
        if drawn is None:
            nothing: dict[str, list[int]] = {name: [] for name in MapColours.model_fields}
            return _coloured(None, {**nothing, "version": "", "round": project.round})
        with self._lock:
            mark = _mark(services, project, drawn)
            kept = self._kept.pop(project.id, None)
            if kept is None or kept.mark != mark:
                kept = _coloured(mark, _colours(services, project, drawn))
            self._kept[project.id] = kept
            for oldest in list(self._kept)[:-MOST_KEPT]:
                del self._kept[oldest]
        return kept


def _coloured(mark: object, found: Mapping[str, Any]) -> _Answered:
    plain = json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode()
    return _Answered(mark, plain, gzip.compress(plain, 5))


def _mark(services: Services, project: Project, drawn: _Drawn) -> object:
    """Another one whenever something is coloured otherwise, as soon as who writes it is done. It costs no look at the pool."""
    columns = [getattr(project, name) for name in COLOURED_BY]
    return drawn.version, columns, services.store.pick_progress(project.id, project.round)


def _colours(services: Services, project: Project, drawn: _Drawn) -> dict[str, Any]:
    """``MapColours`` as it becomes JSON."""
    store, number = services.store, project.id
    stored = store.stored_tasks(number)
    at = _places(stored.rows, drawn.rows)
    is_there = (at >= 0) & (stored.ids[at] == drawn.tasks) if len(stored.ids) else np.zeros(len(drawn.tasks), np.bool_)
    column = _Columns(drawn.tasks, is_there, LabelWords(project))
    waiting = store.queued(number, project.round)
    controls = store.control_ids(number)
    predicted, uncertainty = _predictions(services, project, waiting, column)
    is_control = np.isin(drawn.tasks, controls)
    return {
        "version": drawn.version,
        "round": project.round,
        "label": column.named(store.labels(number)),
        "predicted": np.where(is_control, NONE, predicted).tolist(),
        "uncertainty": np.where(is_control, NONE, uncertainty).tolist(),
        "names": column.names,
        "batch": (np.where(is_there, stored.batches[at], 0) if len(stored.ids) else np.zeros(len(at), int)).tolist(),
        "queue_kinds": list(map(str, QUEUED)),
        "queue": column.of({each.task: QUEUED.index(each.kind) for each in waiting}).tolist(),
        "control": is_control.astype(int).tolist(),
        "gone": np.flatnonzero(~is_there).tolist(),
    }


class _Columns:
    """Makes columns in the order of the places."""

    def __init__(self, tasks: Ids, is_there: NDArray[np.bool_], words: LabelWords) -> None:
        self._is_there, self._words = is_there, words
        self._order = np.argsort(tasks, kind="stable")
        self._sorted = tasks[self._order]
        self._numbers: dict[str, int] = {}

    @property
    def names(self) -> list[str]:
        """The labels by their numbers."""
        return list(self._numbers)

    def of(self, values: Mapping[int, int]) -> NDArray[np.int64]:
        """The values of tasks int64 [n], ``NONE`` for those without one."""
        column = np.full(len(self._sorted), NONE, np.int64)
        ids = np.fromiter(values, np.int64, len(values))
        at = _places(self._sorted, ids)
        column[self._order[at[at >= 0]]] = np.fromiter(values.values(), np.int64, len(values))[at >= 0]
        return np.where(self._is_there, column, NONE)

    def number(self, label: str) -> int:
        """The number of a label."""
        name = self._words.of(label)
        return NONE if name is None else self._numbers.setdefault(name, len(self._numbers))

    def named(self, labels: Mapping[int, str]) -> list[int]:
        """The numbers of the labels of tasks."""
        numbers = {label: self.number(label) for label in dict.fromkeys(labels.values())}
        return [int(number) for number in self.of({task: numbers[label] for task, label in labels.items()})]


def _places(ordered: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each of the ``wanted`` int64 [m] is among ascending numbers int64 [n]; -1 where it is not."""
    if not len(ordered):
        return np.full(len(wanted), -1, np.int64)
    at = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return np.where(ordered[at] == wanted, at, -1)


def _predictions(
    services: Services, project: Project, waiting: list[Any], column: _Columns
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the model's answers, and its uncertainty in hundredths: of what it scored last, and of the round's picks."""
    predicted: dict[int, int] = {}
    uncertainty: dict[int, int] = {}
    result = served.folder(services.backend.settings.data_dir, project)
    try:
        scored = read_candidates(result.parent) if result is not None else None
    except StoreCorrupt:  # the engine reports it
        scored = None
    if scored is not None:
        names, of = np.unique(scored.labels, return_inverse=True)
        numbers = np.array([column.number(str(name)) for name in names], np.int64)[of]
        predicted = dict(zip(scored.ids.tolist(), numbers.tolist(), strict=True))
        hundredths = np.rint(100 * (1 - scored.confidences)).astype(int)
        uncertainty = dict(zip(scored.ids.tolist(), hundredths.tolist(), strict=True))
    for each in waiting:
        if each.predicted and each.confidence is not None:
            predicted[each.task] = column.number(each.predicted)
            uncertainty[each.task] = round(100 * (1 - each.confidence))
    return column.of(predicted), column.of(uncertainty)
