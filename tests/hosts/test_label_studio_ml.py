"""PT4AL behind label-studio-ml's own routes, as ``init_app(PT4AL)`` makes them: 1.0.9 as installed, and a double of 2.x."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.work_queue import WorkQueue
from pt4al_backend.errors import UnknownProject
from pt4al_backend.server.requests import EVENTS
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store
from tests.support.bodies import CONFIG, TOKEN, event, predict, setup
from tests.support.hosts import PLUGIN, SERVED, serve, served, with_release
from tests.support.rounds import PROJECT, VERSION, open_round, pick

# 1.0.9 pins Flask 1.1.2, which is older than the libraries below it
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

ONLY_1_0_9 = pytest.mark.parametrize("release", ["1.0.9"], indirect=True)
ONLY_2_X = pytest.mark.parametrize("release", ["2.x"], indirect=True)


@pytest.fixture
def client(model_class: type, tmp_path: Path, release: str) -> Iterator[Any]:
    """Talks to label-studio-ml's app."""
    api = importlib.import_module("label_studio_ml.api")
    options = {"model_dir": str(tmp_path / "jobs")} if release == "1.0.9" else {}
    with api.init_app(model_class, **options).test_client() as client:
        yield client


def test_importing_the_model_leaves_torch_out_and_no_file_behind(release: str, tmp_path: Path) -> None:
    code = "import sys, pt4al_backend.hosts.label_studio_ml; sys.exit('torch' in sys.modules)"
    command = [sys.executable, "-W", "ignore", "-c", code]
    assert subprocess.run(command, check=False, cwd=tmp_path, env=with_release(release)).returncode == 0
    assert not [*tmp_path.rglob("cache.db")]


@ONLY_1_0_9
def test_label_studio_ml_finds_the_model_class(model_class: type) -> None:
    from label_studio_ml.model import get_all_classes_inherited_LabelStudioMLBase

    assert get_all_classes_inherited_LabelStudioMLBase(str(PLUGIN / "model.py")) == ["PT4AL"]


def test_setup_registers_the_project_with_all_that_it_says(client: Any, store: Store) -> None:
    assert client.post("/setup", json=setup(extra_params={"rounds": 4})).status_code == 200
    project = stored(store)
    assert (project.label_config, project.params) == (CONFIG, {"rounds": 4})
    assert (project.hostname, project.access_token) == (setup()["hostname"], TOKEN)
    assert client.post("/setup", json=setup(extra_params={})).status_code == 200
    assert stored(store).params == {}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"extra_params": {"k": 1}}, "'k'"),
        ({"schema": "<View/>"}, "labeling config"),
        ({"schema": "<Choices"}, "labeling config"),
    ],
)
def test_refused_setup_is_a_400_with_the_reason_and_leaves_no_trace(
    client: Any, store: Store, settings: ServerSettings, fields: dict[str, object], reason: str
) -> None:
    refused = client.post("/setup", json=setup(**fields))
    assert refused.status_code == 400
    assert reason in refused.get_json()["error"]
    assert "Traceback" not in refused.get_data(as_text=True)
    assert client.post("/predict", json=predict(1, 2)).status_code in (200, 500)  # 1.0.9 has no model yet
    assert store.project_ids() == []
    assert WorkQueue(settings).waiting() == 0


@ONLY_2_X
def test_setup_hands_over_the_published_version(client: Any, store: Store) -> None:
    assert client.post("/setup", json=setup()).get_json() == {"model_version": ""}
    open_round(store, pick(1))
    assert client.post("/setup", json=setup()).get_json() == {"model_version": VERSION}


def test_predictions_are_the_published_ones(client: Any, store: Store) -> None:
    client.post("/setup", json=setup())
    serve(store)
    assert served(client) == SERVED


def test_no_tasks_give_no_predictions(client: Any) -> None:
    client.post("/setup", json=setup())
    assert client.post("/predict", json={**predict(), "tasks": []}).get_json()["results"] == []


@ONLY_2_X
def test_event_requests_a_look(client: Any, settings: ServerSettings) -> None:
    client.post("/setup", json=setup())
    answer = client.post("/webhook", json=event("START_TRAINING"))
    assert answer.get_json() == {"result": {"project": PROJECT, "requested": True}, "status": "ok"}
    project = Store.open(settings).project(PROJECT)
    assert project is not None
    assert project.trainings_requested == 1
    assert WorkQueue(settings).waiting() == 1  # the look that connecting requested does both


@ONLY_2_X
def test_event_of_an_unknown_project_is_a_404_with_the_reason(client: Any, store: Store) -> None:
    refused = client.post("/webhook", json=event("START_TRAINING"))
    assert refused.status_code == 404
    assert f"Project {PROJECT}" in refused.get_json()["error"]
    assert store.project_ids() == []


@ONLY_1_0_9
@pytest.mark.parametrize("action", EVENTS)
def test_every_event_requests_a_look(
    model_class: type, store: Store, settings: ServerSettings, tmp_path: Path, action: str
) -> None:
    from label_studio_ml.model import SimpleJobManager

    store.connect(PROJECT, label_config=CONFIG)
    body = event(action)
    body.pop("action")
    result = SimpleJobManager(str(tmp_path)).job(model_class, action, body, "1795241480")
    assert WorkQueue(settings).waiting() == 1
    assert json.loads((tmp_path / "1795241480" / "job_result.json").read_text()) == result


def test_event_of_a_project_that_never_connected_is_refused(model_class: type, store: Store) -> None:
    with pytest.raises(UnknownProject):
        model_class().fit((), event="ANNOTATION_CREATED", data=event())
    assert store.project_ids() == []


def stored(store: Store) -> Project:
    project = store.project(PROJECT)
    assert project is not None
    return project
