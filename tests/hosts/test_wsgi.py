"""plugin/_wsgi.py: PT4AL behind the routes of label-studio-ml 1.0.9, which is installed."""

import base64
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("label_studio_ml", reason="needs the extra label-studio-ml")

from pt4al_backend.engine.work_queue import WorkQueue
from pt4al_backend.hosts.process import hosted
from pt4al_backend.server.requests import EVENTS
from pt4al_backend.state.store import Store
from tests.support.servers import REPOSITORY

PLUGIN = REPOSITORY / "plugin"
CLASSIFICATION = (PLUGIN / "labeling" / "classification.xml").read_text()
SETUP = {
    "project": "3.1795241480",
    "schema": CLASSIFICATION,
    "hostname": "http://127.0.0.1:1",
    "access_token": "",
    "extra_params": {},
}

# 1.0.9 pins Flask 1.1.2, which is older than the libraries below it
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], ModuleType]]:
    """Imports plugin/_wsgi.py as a WSGI server does, with a fresh label-studio-ml below it; environment as it is then."""
    monkeypatch.setenv("PT4AL_DATA_DIR", str(tmp_path))
    monkeypatch.syspath_prepend(PLUGIN)
    hosted.cache_clear()

    def forget() -> None:
        # label-studio-ml keeps app and manager in its modules
        for name in ("_wsgi", "model", "label_studio_ml.api"):
            sys.modules.pop(name, None)
        vars(importlib.import_module("label_studio_ml")).pop("api", None)

    forget()
    yield lambda: importlib.import_module("_wsgi")
    forget()
    hosted.cache_clear()


def test_label_studio_ml_finds_the_model_class(plugin: object) -> None:
    from label_studio_ml.model import get_all_classes_inherited_LabelStudioMLBase

    assert get_all_classes_inherited_LabelStudioMLBase(str(PLUGIN / "model.py")) == ["PT4AL"]


def test_setup_answers_with_the_published_version(plugin: Callable[[], ModuleType]) -> None:
    client = plugin().app.test_client()
    assert client.post("/setup", json=SETUP).get_json() == {"model_version": ""}
    state().change(3, served_version="pt4al-r1-20261121-101500")
    assert client.post("/setup", json=SETUP).get_json() == {"model_version": "pt4al-r1-20261121-101500"}


def test_setup_takes_over_the_extra_params(plugin: Callable[[], ModuleType]) -> None:
    client = plugin().app.test_client()
    client.post("/setup", json={**SETUP, "extra_params": {"rounds": 4}})
    assert project(3).params == {"rounds": 4}
    refused = client.post("/setup", json={**SETUP, "extra_params": {"round": 4}})
    assert refused.status_code == 500
    assert "Unknown setting 'round'" in refused.get_json()["detail"]
    assert project(3).params == {"rounds": 4}


def test_predict_answers_every_task_before_the_first_model(plugin: Callable[[], ModuleType]) -> None:
    client = plugin().app.test_client()
    client.post("/setup", json=SETUP)
    tasks = [{"id": 11, "data": {"image": "a.png"}, "project": 3}, {"id": 12, "data": {}, "project": 3}]
    body = {"tasks": tasks, "project": "3.1795241480", "label_config": CLASSIFICATION, "params": {"login": None, "context": None}}
    assert [answer["result"] for answer in client.post("/predict", json=body).get_json()["results"]] == [[], []]


@pytest.mark.parametrize("event", ["TASKS_CREATED", "ANNOTATIONS_DELETED", "START_TRAINING"])
def test_every_event_requests_a_look(plugin: Callable[[], ModuleType], event: str) -> None:
    client = plugin().app.test_client()
    client.post("/setup", json=SETUP)
    before = waiting()
    answer = client.post("/webhook", json={"action": event, "project": {"id": 3, "label_config": CLASSIFICATION}})
    assert answer.status_code == 201
    assert waiting() == before + 1


def test_event_of_an_unsupported_project_is_explained(plugin: Callable[[], ModuleType]) -> None:
    body = {"action": "PROJECT_UPDATED", "project": {"id": 3, "label_config": "<View/>"}}
    answer = plugin().app.test_client().post("/webhook", json=body)
    assert answer.status_code == 400
    assert answer.get_json()["remedy"].startswith("Add <Image")


def test_routes_need_the_password_of_the_environment(plugin: Callable[[], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASIC_AUTH_USER", "label-studio")
    monkeypatch.setenv("BASIC_AUTH_PASS", "secret")
    client = plugin().app.test_client()
    assert client.get("/health").status_code == 200
    for header, status in ((None, 401), (basic("label-studio:wrong"), 401), (basic("label-studio:secret"), 200)):
        headers = {"Authorization": header} if header else {}
        assert client.post("/setup", json=SETUP, headers=headers).status_code == status
        event = {"action": "TASKS_CREATED", "project": {"id": 3, "label_config": CLASSIFICATION}}
        assert client.post("/webhook", json=event, headers=headers).status_code == (401 if status == 401 else 201)


def test_webhook_takes_its_secret_instead_of_the_password(
    plugin: Callable[[], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BASIC_AUTH_USER", "label-studio")
    monkeypatch.setenv("BASIC_AUTH_PASS", "secret")
    client = plugin().app.test_client()
    instance = state().instance()
    assert client.get("/health").get_json()["instance"] == instance.id
    event = {"action": "TASKS_CREATED", "project": {"id": 3, "label_config": CLASSIFICATION}}
    for secret, status in (("", 401), ("guessed", 401), (instance.webhook_secret, 201)):
        assert client.post("/webhook", json=event, headers={"X-PT4AL-Webhook": secret}).status_code == status
    assert client.post("/setup", json=SETUP, headers={"X-PT4AL-Webhook": instance.webhook_secret}).status_code == 401


def test_server_does_not_open_the_port_without_a_password(tmp_path: Path) -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("PT4AL_", "BASIC_AUTH_"))}
    command = [sys.executable, "-W", "ignore", str(PLUGIN / "_wsgi.py"), "--port", "0", "--host", "0.0.0.0"]
    environment = {**bare, "PT4AL_DATA_DIR": str(tmp_path)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "BASIC_AUTH_USER" in ended.stderr


def test_imitated_2_x_is_given_the_password_and_every_event(
    plugin: Callable[[], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The 2.x sources are on no package index. This imitates their ``init_app`` and their list of events, and no more."""
    api: Any = importlib.import_module("label_studio_ml.api")
    given: list[object] = []

    def init_app(model_class: type, basic_auth_user: str | None = None, basic_auth_pass: str | None = None) -> Any:
        given.extend([model_class.__name__, basic_auth_user, basic_auth_pass])
        return api._server

    monkeypatch.setattr(api, "init_app", init_app)
    monkeypatch.setattr(api, "TRAIN_EVENTS", ("START_TRAINING",), raising=False)
    monkeypatch.setenv("BASIC_AUTH_USER", "label-studio")
    monkeypatch.setenv("BASIC_AUTH_PASS", "secret")
    plugin()
    assert given == ["PT4AL", "label-studio", "secret"]
    assert api.TRAIN_EVENTS == EVENTS


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


def state() -> Store:
    return Store.open(hosted().settings)


def project(project_id: int) -> Any:
    return state().project(project_id)


def waiting() -> int:
    return WorkQueue(hosted().settings).waiting()
