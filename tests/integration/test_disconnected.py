"""Removing the backend under Settings > Model, deleting the project, forgetting it; what was there before comes back."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.label_studio.client import LabelStudio
from pt4al_backend.state.store import Store
from tests.support.backend import SECONDS, Backend, wait_for_end
from tests.support.images import LABEL_CONFIG, arrow, save
from tests.support.servers import LabelStudioServer, wait_until

pytestmark = pytest.mark.label_studio

PARAMS = {"rounds": 2, "query_size": 4, "control_share": 0.5, "pretext_epochs": 2, "epochs": 2, "width": 8}
TASKS = 12
BEFORE = {"sampling": "Uniform sampling", "model_version": "vendor-1"}


@pytest.fixture(scope="module")
def backend(label_studio: LabelStudioServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with Backend(tmp_path_factory.mktemp("letting-go"), label_studio, PT4AL_POLL_SECONDS="1") as running:
        running.start_apart()
        yield running


@pytest.fixture
def client(label_studio: LabelStudioServer) -> LabelStudio:
    return LabelStudio(label_studio.url, label_studio.token)


@pytest.fixture
def connected(backend: Backend, lead: Annotator, client: LabelStudio, tmp_path: Path) -> int:
    """A project with pre-annotations of another model and a task sampling of its own, which the backend serves."""
    project = lead.create_project(tmp_path.name[:50], LABEL_CONFIG)
    ids = lead.upload_images(project, save(tmp_path / "images", [arrow(number) for number in range(TASKS)]))
    client.import_predictions(
        project, [{"task": i, "result": choice("red"), "score": 0.5, "model_version": "vendor-1"} for i in ids]
    )
    client.update_project(project, **BEFORE)
    lead.connect_backend(project, backend.url, extra_params=PARAMS)
    backend.wait_for(project, phase="labelling", labels_missing=4)
    return project


def choice(name: str) -> list[dict[str, Any]]:
    return [{"from_name": "colour", "to_name": "image", "type": "choices", "value": {"choices": [name]}}]


def remove_backend(client: LabelStudio, project: int) -> None:
    for entry in client.ml_backends(project):
        client.request("DELETE", f"/api/ml/{entry['id']}")


def queue_shows(client: LabelStudio, project: int, version: str) -> set[str]:
    """The choices that a version's predictions show, "" for none."""
    shown = client.results_of(project, version, client.task_ids(project).tolist()).values()
    return {result[0]["value"]["choices"][0] if result else "" for result in shown}


def chosen(client: LabelStudio, project: int) -> dict[str, Any]:
    return {name: client.project(project)[name] for name in BEFORE}


def test_removed_backend_sets_back_what_was_chosen_and_touches_nothing(
    backend: Backend, client: LabelStudio, lead: Annotator, connected: int
) -> None:
    notice = backend.status(connected)["notices"]["before"]
    assert "'Uniform sampling'" in notice
    assert "'vendor-1'" in notice
    served = chosen(client, connected)
    assert queue_shows(client, connected, served["model_version"]) == {"", "red"}  # nothing in control picks
    assert served["sampling"] == "Uncertainty sampling"

    remove_backend(client, connected)
    status = backend.wait_for(connected, phase="not connected", connected=False, error=None)
    assert "Settings > Model" in status["notices"]["connection"]
    assert chosen(client, connected) == BEFORE

    client.delete_model_version(connected, served["model_version"])
    client.update_project(connected, sampling="Sequential sampling")
    left = client.model_versions(connected)
    assert backend.post("/train", json={"project": str(connected)}).ok  # the webhook stays as well, and requests looks
    handled = backend.post("/webhook", json={"action": "PROJECT_UPDATED", "project": {"id": connected}})
    assert handled.ok
    other = lead.create_project("Looked at meanwhile", LABEL_CONFIG)
    lead.connect_backend(other, backend.url)
    backend.wait_for(other, phase="waiting for tasks")
    assert chosen(client, connected) == {**BEFORE, "sampling": "Sequential sampling"}
    assert client.model_versions(connected) == left


def test_removed_backend_ends_its_training(backend: Backend, client: LabelStudio, lead: Annotator, tmp_path: Path) -> None:
    """The epochs take much longer than the entries go unread."""
    project = lead.create_project("Training", LABEL_CONFIG)
    lead.upload_images(project, save(tmp_path / "images", [arrow(number) for number in range(120)]))
    lead.connect_backend(project, backend.url, extra_params={**PARAMS, "pretext_epochs": 1000})
    training = backend.wait_for_checkpoint(backend.job(project, "rank-1"))
    remove_backend(client, project)
    backend.wait_for(project, phase="not connected")
    wait_for_end(training)
    assert chosen(client, project) == {"sampling": "Sequential sampling", "model_version": ""}


def test_backend_that_is_connected_again_resumes_its_round(
    backend: Backend, client: LabelStudio, lead: Annotator, connected: int
) -> None:
    before = backend.status(connected)
    remove_backend(client, connected)
    backend.wait_for(connected, phase="not connected")
    lead.connect_backend(connected, backend.url, extra_params=PARAMS)
    after = backend.wait_for(connected, phase="labelling", connected=True, labels_missing=4)
    wait_until(lambda: chosen(client, connected)["sampling"] == "Uncertainty sampling", SECONDS, "the queue is served again")
    assert chosen(client, connected)["model_version"].startswith("pt4al-r1-")
    assert [each["opened_at"] for each in after["history"]] == [each["opened_at"] for each in before["history"]]


def test_deleted_project_is_let_go(backend: Backend, client: LabelStudio, connected: int) -> None:
    client.request("DELETE", f"/api/projects/{connected}/")
    store = Store(f"sqlite:///{backend.data / 'state.sqlite3'}")
    store.change(connected, setup_at=time.time() - 3_600)  # as if it had not just been connected, which is waited for
    store.close()
    status = backend.wait_for(connected, phase="not connected", error=None)
    assert "no such project" in status["notices"]["connection"]


def test_forgotten_project_is_gone_with_its_files(backend: Backend, client: LabelStudio, connected: int) -> None:
    remove_backend(client, connected)
    backend.wait_for(connected, phase="not connected")
    ranking = backend.job(connected, "rank-1")
    assert ranking.exists()
    other_site = {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
    assert backend.post(f"/api/projects/{connected}/forget", headers=other_site).status_code == 403
    assert backend.status(connected)["title"]
    assert backend.post(f"/api/projects/{connected}/forget").ok
    assert not ranking.parent.exists()
    assert requests.get(f"{backend.url}/api/projects/{connected}", timeout=30).status_code == 404
