"""Small pictures of tasks for the pages, made from the frame file: one row is read, made smaller and encoded."""

from enum import IntEnum
from io import BytesIO
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from fastapi.responses import Response
from PIL import Image

from pt4al_backend.errors import NoFrame
from pt4al_backend.images.frame_file import read_one
from pt4al_backend.server.openapi import documented
from pt4al_backend.server.requests import LARGEST_ID
from pt4al_backend.server.services import Served, Services
from pt4al_backend.state.paths import frames_path
from pt4al_backend.state.schema import Project

KIND, QUALITY = "image/jpeg", 85
KEPT = "private, max-age=600"  # after that, the digest tells whether the task has another image

router = APIRouter(tags=["Pages"])
TaskId = Annotated[int, InPath(gt=0, le=LARGEST_ID)]


class Side(IntEnum):
    """Pixels of a thumbnail's longer side, at most; a smaller image is not enlarged."""

    SMALL = 128
    LARGE = 256


@router.get(
    "/api/projects/{project}/tasks/{task}/thumbnail",
    **documented(query=True, not_found=True, cached=True, files=[KIND]),
)
def thumbnail(project: str, task: TaskId, request: Request, services: Served, side: Side = Side.SMALL) -> Response:
    """A small picture of a task's image, as it is stored for training."""
    known = services.project(project)
    found = services.store.frame_of(known.id, task)
    if found is None:
        raise NoFrame(f"No image of task {task} is stored.", "It is fetched soon, or the overview says why it is set aside.")
    row, digest = found
    headers = {"Cache-Control": KEPT, **({"ETag": f'"{digest}-{side}"'} if digest else {})}
    if digest and headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(_picture(services, known, task, row, side), media_type=KIND, headers=headers)


def _picture(services: Services, project: Project, task: int, row: int, side: Side) -> bytes:
    """The picture as a file.

    Raises:
        NoFrame: the project was forgotten, or the image fetched again, since the state was read.
    """
    shape = project.stored_shape
    frame = None if shape is None else read_one(frames_path(services.backend.settings, project), shape, row)
    if frame is None:
        raise NoFrame(f"The image of task {task} is not stored any more.", "It is fetched again soon.")
    picture = Image.fromarray(frame)
    picture.thumbnail((side, side))
    file = BytesIO()
    picture.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
