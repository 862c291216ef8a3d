"""Take away: what a project has found out, as files that need nothing of this backend."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, Field, JsonValue

from pt4al_backend import __version__
from pt4al_backend.config import ProjectSettings
from pt4al_backend.engine import exports, served_model
from pt4al_backend.engine.exports import NO_MODEL, Table
from pt4al_backend.engine.snapshot import Snapshot
from pt4al_backend.errors import NotNow
from pt4al_backend.measures import Control, PretextQuality
from pt4al_backend.server import model_archive, pdf_export
from pt4al_backend.server.onnx_export import onnx_of
from pt4al_backend.server.openapi import documented
from pt4al_backend.server.panels.report import report_of
from pt4al_backend.server.rendering import panel
from pt4al_backend.server.services import Served, Services
from pt4al_backend.server.status import RoundFacts
from pt4al_backend.server.tables import Format
from pt4al_backend.state.schema import Project

#: What each table holds, for people.
ABOUT = {
    Table.RANKING: "Every ranked task: its place in the ranking, its pretext loss, and PT4AL's batch.",
    Table.SPLITS: "Every task: whether it trains the model, is a control pick, is not labelled or is set aside; and its label.",
    Table.PREDICTIONS: "The answers of the model that is served, and how sure it is of each.",
    Table.FEATURES: "The features of every image that has some: the pretrained encoder's, or else the pretext learner's.",
}


class RecordedRound(RoundFacts):
    """One round, and the model that its labels trained."""

    control: Control = Field(description="its model on the control picks, class by class where the measure has classes")
    seconds: dict[str, JsonValue]


class History(BaseModel):
    """All rounds of a project. Times are seconds since 1970 in UTC."""

    project: int
    title: str
    backend: str = Field(description="version of the backend that wrote this")
    encoder: str = Field(description="the pretrained encoder; empty if a network is trained from the pretext learner's weights")
    pretext: PretextQuality
    settings: dict[str, JsonValue]
    rounds: list[RecordedRound]


#: How long a person waits for a model of another host before being told so.
FETCH_SECONDS = 5.0

router = APIRouter(tags=["Pages"])
ZIP, BINARY, PDF = "application/zip", "application/octet-stream", "application/pdf"
OfTable = Annotated[Table, PathParameter(description="which table")]
InFormat = Annotated[Format, PathParameter(description="how it is written")]
Languages = Annotated[str, Header(description="whose customs numbers and times follow: the first that is known")]


@router.get("/projects/{project}/take-away", include_in_schema=False)
def take_away_page(project: str, services: Served) -> Response:
    """What can be taken away, for people."""
    row = services.project(project)
    return panel("take-away", "take_away.html", services.statuses.find(project), about=ABOUT, has_model=bool(row.model))


@router.get("/api/projects/{project}/take-away/history.json", response_model=History, **documented(not_found=True))
def history(project: str, services: Served) -> JSONResponse:
    """All rounds of a project, as a file of JSON."""
    row = services.project(project)
    found = _history(services, row)
    return JSONResponse(found.model_dump(mode="json"), headers=_saved_as(row, "history.json"))


@router.get("/api/projects/{project}/take-away/report.pdf", **documented(not_found=True, busy=True, made=True, files=[PDF]))
def report_pdf(project: str, services: Served, accept_language: Languages = "en") -> Response:
    """The report for the customer of the labels on one sheet, with the extra ``pdf``. It takes about two seconds."""
    row = services.project(project)
    written = pdf_export.pdf_of(bytes(report_of(services, project).body), accept_language)
    return Response(written, media_type=PDF, headers=_saved_as(row, "report.pdf"))


@router.get("/api/projects/{project}/take-away/model.zip", **documented(not_found=True, busy=True, files=[ZIP]))
def model(project: str, services: Served) -> StreamingResponse:
    """The model that is served, as a folder with a script that answers images by it, packed while it is sent."""
    row = services.project(project)
    pieces = model_archive.pack(_served(services, row), f"project-{row.id}-model")
    return StreamingResponse(_begun(pieces), media_type=ZIP, headers=_saved_as(row, "model.zip"))


@router.get("/api/projects/{project}/take-away/model.onnx", **documented(not_found=True, busy=True, made=True, files=[BINARY]))
def onnx_model(project: str, services: Served) -> FileResponse:
    """The model that is served as ONNX, with the extra ``onnx``. The first request for a model takes some seconds."""
    row = services.project(project)
    path = onnx_of(_served(services, row))
    return FileResponse(path, media_type=BINARY, headers=_saved_as(row, "model.onnx"))


@router.get(
    "/api/projects/{project}/take-away/{table}.{form}",
    **documented(query=True, not_found=True, busy=True, files=[form.media_type for form in Format]),
)
def table(project: str, table: OfTable, form: InFormat, services: Served) -> StreamingResponse:
    """One of the tables, sent while it is read: CSV, or Parquet with the extra ``parquet``."""
    row = services.project(project)
    form.require()
    if table is Table.PREDICTIONS:
        _served(services, row)
    snapshot = Snapshot.of(services.backend.settings, services.store, row)
    pieces = form.write(exports.parts(snapshot, table))
    return StreamingResponse(_begun(pieces), media_type=form.media_type, headers=_saved_as(row, f"{table}.{form}"))


def _served(services: Services, project: Project) -> Path:
    """The artefact of the model that is served.

    Raises:
        NotNow: there is none yet, or another host has it and it is being fetched.
        ConfigError, StoreAway, StoreCorrupt: it cannot be fetched.
    """
    found = served_model.folder(services.backend.settings.data_dir, project)
    if found is None:
        raise NotNow(*NO_MODEL)
    services.backend.model_downloads.wait(found, FETCH_SECONDS)
    return found


def _begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same pieces; the first is made at once, so that what is missing is an answer of its own and no broken file."""
    return chain([next(pieces)], pieces)


def _saved_as(project: Project, name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="project-{project.id}-{name}"', "Cache-Control": "no-store"}


def _history(services: Services, project: Project) -> History:
    status = services.statuses.find(str(project.id))
    return History(
        project=project.id,
        title=status.title,
        backend=__version__,
        encoder=ProjectSettings.stored(status.settings).pretrained_encoder,
        pretext=project.quality,
        settings=status.settings,
        rounds=[RecordedRound.model_validate(each) for each in services.store.rounds(project.id)],
    )
