"""Small pictures of tasks."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from pt4al_backend.config import ServerSettings
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.state.paths import frames_path, project_dir
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store
from tests.support.filled import PROJECT, SIDE, fill
from tests.support.images import arrow
from tests.support.web_client import Client

ADDRESS = f"/api/projects/{PROJECT}/tasks"


@pytest.fixture
def shown(store: Store, settings: ServerSettings) -> Store:
    fill(store, settings)
    return store


def test_thumbnail_shows_the_image_of_its_task(client: Client, shown: Store) -> None:
    answer = client.get(f"{ADDRESS}/5/thumbnail")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    picture = np.asarray(Image.open(BytesIO(answer.content)), np.float64)
    errors = [np.abs(picture - np.asarray(arrow(number, SIDE))).mean() for number in range(1, 9)]
    assert int(np.argmin(errors)) + 1 == 5


def test_large_image_is_made_smaller(client: Client, shown: Store, settings: ServerSettings) -> None:
    shape = (300, 600)
    shown.change(PROJECT, stored_height=shape[0], stored_width=shape[1])
    project = shown.project(PROJECT)
    assert project is not None
    with FrameFile(frames_path(settings, project), shape) as frames:
        frames.write(4, np.zeros((*shape, 3), np.uint8))
    sizes = [Image.open(BytesIO(client.get(f"{ADDRESS}/5/thumbnail?side={side}").content)).size for side in (128, 256)]
    assert sizes == [(128, 64), (256, 128)]
    assert client.get(f"{ADDRESS}/5/thumbnail?side=4000").status_code == 400


def test_browser_keeps_a_thumbnail_until_the_image_changes(client: Client, shown: Store) -> None:
    first = client.get(f"{ADDRESS}/5/thumbnail")
    assert first.headers["cache-control"].startswith("private")
    known = {"If-None-Match": first.headers["etag"]}
    again = client.get(f"{ADDRESS}/5/thumbnail", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    shown.put_digests(PROJECT, {5: "f" * 32})
    assert client.get(f"{ADDRESS}/5/thumbnail", headers=known).status_code == 200


@pytest.mark.parametrize("task", ["500", "0", "-1", "x", "9" * 30])
def test_task_that_does_not_exist_has_none(client: Client, shown: Store, task: str) -> None:
    answer = client.get(f"{ADDRESS}/{task}/thumbnail")
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]


def test_image_that_is_not_fetched_yet_has_none(client: Client, shown: Store) -> None:
    shown.set_tasks(PROJECT, {"id": [5], "row": [None]})
    answer = client.get(f"{ADDRESS}/5/thumbnail")
    assert answer.status_code == 404
    assert "No image of task 5 is stored" in answer.json()["error"]


def test_row_that_is_being_written_has_none_and_forgotten_files_are_not_made_again(
    client: Client, shown: Store, settings: ServerSettings
) -> None:
    project = shown.project(PROJECT)
    assert project is not None
    path = frames_path(settings, project)
    with path.open("r+b") as file:  # torn: the checksum is that of the whole frame
        file.seek(4 * SIDE * SIDE * 3)
        file.write(bytes(100))
    assert client.get(f"{ADDRESS}/5/thumbnail").status_code == 404
    assert client.get(f"{ADDRESS}/6/thumbnail").status_code == 200
    for each in path.parent.iterdir():
        each.unlink()
    project_dir(settings, Project(id=PROJECT)).rmdir()
    assert client.get(f"{ADDRESS}/6/thumbnail").status_code == 404
    assert not project_dir(settings, Project(id=PROJECT)).exists()
