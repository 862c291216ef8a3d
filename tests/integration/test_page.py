"""What the pages of a project change in Label Studio: the extra params of the connection, and a tab of the Data Manager."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.label_studio.client import LabelStudio
from tests.support.backend import Backend
from tests.support.images import LABEL_CONFIG
from tests.support.servers import LabelStudioServer

pytestmark = pytest.mark.label_studio

USER, PASSWORD = "label-studio", "a password"


@pytest.fixture(scope="module")
def backend(label_studio: LabelStudioServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A web process alone: a worker has no part in this."""
    login = {"BASIC_AUTH_USER": USER, "BASIC_AUTH_PASS": PASSWORD}
    with Backend(tmp_path_factory.mktemp("page"), label_studio, **login) as backend:
        backend.web.start()
        yield backend


@pytest.fixture
def client(label_studio: LabelStudioServer) -> LabelStudio:
    return LabelStudio(label_studio.url, label_studio.token)


@pytest.fixture
def project(lead: Annotator, backend: Backend) -> int:
    made = lead.create_project("Page", LABEL_CONFIG)
    lead.connect_backend(made, backend.url, basic_auth=(USER, PASSWORD), extra_params='{"rounds": 4, "epochs": 2}')
    return made


def get(backend: Backend, project: int) -> dict[str, Any]:
    found = requests.get(f"{backend.url}/api/projects/{project}/settings", auth=backend.login, timeout=30).json()
    return {"read": found["read"], **{each["name"]: each["given"] for each in found["settings"]}}


def change(backend: Backend, project: int, read: str, **changes: str | None) -> requests.Response:
    return backend.post(f"/api/projects/{project}/settings", json={"read": read, "changes": changes})


def test_settings_are_written_into_the_connection_and_come_back_from_it(
    backend: Backend, project: int, client: LabelStudio
) -> None:
    before = get(backend, project)
    assert (before["rounds"], before["epochs"], before["seed"]) == ("4", "2", None)
    answer = change(backend, project, before["read"], rounds="8", epochs=None, show_predictions="false")
    assert answer.status_code == 200, answer.text
    (entry,) = client.ml_backends(project)
    assert entry["extra_params"] == '{"rounds": 8, "show_predictions": false}'
    assert (entry["state"], entry["auth_method"], entry["basic_auth_pass_is_set"]) == ("CO", "BASIC_AUTH", True)
    after = get(backend, project)
    assert (after["rounds"], after["epochs"], after["show_predictions"]) == ("8", None, "false")
    assert after["read"] == answer.json()["read"] != before["read"]
    log = requests.get(f"{backend.url}/api/projects/{project}/actions", auth=backend.login, timeout=30).json()
    assert [(each["who"], each["detail"]) for each in log] == [(USER, "rounds: 8, epochs: not given, show_predictions: false")]


def test_what_somebody_else_changed_meanwhile_is_not_replaced(backend: Backend, project: int, client: LabelStudio) -> None:
    before = get(backend, project)
    assert change(backend, project, before["read"], seed="3").status_code == 200
    late = change(backend, project, before["read"], rounds="9")
    assert late.status_code == 409
    assert "Reload the page" in late.json()["remedy"]
    (entry,) = client.ml_backends(project)
    assert entry["extra_params"] == '{"rounds": 4, "epochs": 2, "seed": 3}'


def test_chosen_tasks_are_shown_in_a_tab_of_the_data_manager(
    backend: Backend, project: int, client: LabelStudio, lead: Annotator
) -> None:
    ids = lead.import_tasks(project, [{"data": {"image": f"https://images.example/{number}.png"}} for number in range(6)])
    for chosen in (ids[1:4], ids[3:5]):
        shown = backend.post(f"/api/projects/{project}/map/view", json={"tasks": [*chosen, 999_999_999]})
        assert shown.status_code == 200, shown.text
        views = client.views(project)
        assert [view["data"]["title"] for view in views] == ["Default", "PT4AL map"]
        assert shown.json()["address"].endswith(f"/projects/{project}/data?tab={views[1]['id']}")
        found = client.request("GET", "/api/tasks", params={"view": views[1]["id"], "project": project})
        assert [task["id"] for task in found["tasks"]] == chosen
