"""plugin/_wsgi.py: PT4AL in the app of label-studio-ml, 1.0.9 as it is installed and a double of 2.x."""

import base64
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import requests

from pt4al_backend.config import ServerSettings
from pt4al_backend.demo.servers import free_port
from pt4al_backend.engine.work_queue import WorkQueue
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store
from tests.support.bodies import TOKEN, event, predict, setup
from tests.support.hosts import PLUGIN, SERVED, serve, served, with_release
from tests.support.queues import taken
from tests.support.rounds import PROJECT, VERSION, open_round, pick
from tests.support.servers import Server, wait_until

# 1.0.9 pins Flask 1.1.2, which is older than the libraries below it
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

Plugin = Callable[[], ModuleType]
HOSTNAME = "http://label-studio.example:8080"


def test_setup_answers_with_the_published_version(plugin: Plugin, store: Store) -> None:
    client = plugin().app.test_client()
    assert client.post("/setup", json=setup()).get_json() == {"model_version": ""}
    open_round(store, pick(1))
    assert client.post("/setup", json=setup()).get_json() == {"model_version": VERSION}


def test_setup_takes_over_address_and_token_as_one(plugin: Plugin, store: Store) -> None:
    client = plugin().app.test_client()
    client.post("/setup", json=setup())
    assert connection(store) == (HOSTNAME, TOKEN)
    body = {name: value for name, value in setup(hostname="http://other.example").items() if name != "access_token"}
    client.post("/setup", json=body)
    assert connection(store) == ("http://other.example", "")


@pytest.mark.parametrize("params", [{"rounds": 4}, '{"rounds": 4}'])
def test_extra_params_are_taken_over_and_cleared(plugin: Plugin, store: Store, params: object) -> None:
    client = plugin().app.test_client()
    client.post("/setup", json=setup(extra_params=params))
    assert stored(store).params == {"rounds": 4}
    client.post("/predict", json=predict(1))
    client.post("/webhook", json=event())
    assert stored(store).params == {"rounds": 4}
    assert client.post("/setup", json=setup(extra_params=None)).status_code == 200
    assert stored(store).params == {}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"extra_params": {"round": 4}}, "Unknown setting 'round'"),
        ({"extra_params": "{"}, "extra params"),
        ({"schema": "<View/>"}, "Add <Image"),
        ({"schema": "no XML"}, "XML"),
        ({"project": "three"}, "'three'"),
        ({"hostname": 5}, "hostname"),
    ],
)
def test_refused_connection_answers_400_with_the_reason_and_leaves_no_trace(
    plugin: Plugin, store: Store, settings: ServerSettings, fields: dict[str, object], reason: str
) -> None:
    client = plugin().app.test_client()
    refused = client.post("/setup", json=setup(**fields))
    assert refused.status_code == 400
    assert reason in refused.get_json()["error"] + refused.get_json()["remedy"]
    assert client.post("/webhook", json=event()).status_code == 404
    assert len(client.post("/predict", json=predict(1, 2)).get_json()["results"]) == 2
    assert store.project_ids() == []
    assert WorkQueue(settings).waiting() == 0


def test_label_studio_is_redirected_to_the_reason(plugin: Plugin) -> None:
    client = plugin().app.test_client()
    headers = {"User-Agent": "heartex/1.0"}
    refused = client.post("/setup", json=setup(extra_params={"round": 4}), headers=headers)
    assert refused.status_code == 303
    answer = client.get(f"/{refused.headers['Location']}")
    assert answer.status_code == 400
    assert "Unknown setting 'round'" in answer.get_json()["error"]


def test_refused_change_of_a_connected_project_changes_nothing(plugin: Plugin, store: Store) -> None:
    client = plugin().app.test_client()
    client.post("/setup", json=setup(extra_params={"rounds": 4}))
    assert client.post("/setup", json=setup(extra_params={"rounds": -1}, hostname="http://other.example")).status_code == 400
    assert stored(store).params == {"rounds": 4}
    assert connection(store) == (HOSTNAME, TOKEN)


def test_predictions_are_the_published_ones(plugin: Plugin, store: Store) -> None:
    client = plugin().app.test_client()
    client.post("/setup", json=setup())
    serve(store)
    assert served(client) == SERVED


@pytest.mark.parametrize("action", ["TASKS_CREATED", "ANNOTATIONS_DELETED", "START_TRAINING"])
def test_every_event_requests_a_look(plugin: Plugin, settings: ServerSettings, store: Store, action: str) -> None:
    client = plugin().app.test_client()
    client.post("/setup", json=setup())
    queue = WorkQueue(settings)
    taken(queue)
    assert client.post("/webhook", json=event(action)).status_code == 200
    assert taken(queue) == [PROJECT]
    project = store.project(PROJECT)
    assert project is not None
    assert project.trainings_requested == (action == "START_TRAINING")


def test_status_page_is_there(plugin: Plugin) -> None:
    client = plugin().app.test_client()
    client.post("/setup", json=setup())
    page = client.get("/projects/3", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert page.content_type.startswith("text/html")


def test_event_stream_is_refused_as_its_end_would_be_awaited(plugin: Plugin) -> None:
    client = plugin().app.test_client()
    client.post("/setup", json=setup())
    assert client.get("/api/projects/3/events").status_code == 503


def test_body_beyond_the_limit_is_refused(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PT4AL_WEBHOOK_MAX_BYTES", "1000")
    client = plugin().app.test_client()
    assert client.post("/webhook", data=b" " * 1001).status_code == 413
    assert client.post("/webhook", data=b" " * 999).status_code == 400


@pytest.mark.parametrize("password", ["secret", "geheimnisüß"])
def test_routes_need_the_password(plugin: Plugin, monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    monkeypatch.setenv("BASIC_AUTH_USER", "label-studio")
    monkeypatch.setenv("BASIC_AUTH_PASS", password)
    client = plugin().app.test_client()
    assert client.get("/health").status_code == 200
    for pair, status in ((None, 401), ("label-studio:wrong", 401), (f"label-studio:{password}", 200)):
        headers = {"Authorization": basic(pair)} if pair else {}
        assert client.post("/setup", json=setup(), headers=headers).status_code == status
        assert client.post("/webhook", json=event(), headers=headers).status_code == status


def test_webhook_takes_its_secret_instead_of_the_password(plugin: Plugin, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASIC_AUTH_USER", "label-studio")
    monkeypatch.setenv("BASIC_AUTH_PASS", "secret")
    client = plugin().app.test_client()
    client.post("/setup", json=setup(), headers={"Authorization": basic("label-studio:secret")})
    instance = store.instance()
    assert client.get("/health").get_json()["instance"] == instance.id
    for secret, status in (("", 401), ("guessed", 401), (instance.webhook_secret, 200)):
        assert client.post("/webhook", json=event(), headers={"X-PT4AL-Webhook": secret}).status_code == status
    assert client.post("/setup", json=setup(), headers={"X-PT4AL-Webhook": instance.webhook_secret}).status_code == 401


class Host(Server):
    """Up as soon as it answers, whatever that is."""

    def is_up(self) -> bool:
        self.check()
        try:
            return bool(requests.get(f"{self.url}/health", timeout=30).status_code)
        except requests.ConnectionError:
            return False


class TestCommandLine:
    """`python plugin/_wsgi.py`, which is what `label-studio-ml start` runs."""

    def command(self, *flags: str) -> list[str]:
        return [sys.executable, "-W", "ignore", str(PLUGIN / "_wsgi.py"), *flags]

    def server(self, release: str, folder: Path, data: Path, *flags: str, **environment: str) -> Server:
        port = free_port()
        variables = {**with_release(release), "PT4AL_DATA_DIR": str(data), **environment}
        return Host("host", self.command("--port", str(port), "--host", "127.0.0.1", *flags), port, folder, variables)

    def test_all_flags_of_label_studio_ml_work(self, release: str, tmp_path: Path, settings: ServerSettings) -> None:
        flags = ["--debug", "--check", "--log-level", "ERROR", "--basic-auth-user", "label-studio", "--basic-auth-pass", "secret"]
        flags += ["--model-dir", str(tmp_path / "models"), "--kwargs", "rounds=4", "width=8"]
        server = self.server(release, tmp_path, settings.data_dir, *flags)
        try:
            server.start()
            assert requests.post(f"{server.url}/setup", json=setup(), timeout=30).status_code == 401
            answer = requests.post(f"{server.url}/setup", json=setup(), auth=("label-studio", "secret"), timeout=30)
            assert answer.json() == {"model_version": ""}
        finally:
            server.stop()
        written = server.output()
        assert "--kwargs has no effect" in written
        assert "--model-dir has no effect" in written
        assert not [*Path().rglob("cache.db")]

    def test_port_is_not_opened_without_a_password(self, release: str, tmp_path: Path) -> None:
        ended = subprocess.run(
            self.command("--host", "0.0.0.0"),
            env={**with_release(release), "PT4AL_DATA_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 2
        assert "BASIC_AUTH_USER" in ended.stderr

    def test_host_without_its_database_answers_503_and_goes_on_by_itself(
        self, release: str, tmp_path: Path, settings: ServerSettings
    ) -> None:
        settings.data_dir.mkdir()
        blocked = settings.data_dir / "state.sqlite3"
        blocked.mkdir()  # a database that cannot be opened now
        server = self.server(release, tmp_path, settings.data_dir)
        try:
            server.start()
            answer = requests.post(f"{server.url}/setup", json=setup(), timeout=30)
            assert answer.status_code == 503
            assert "The state does not answer yet." in answer.text
            blocked.rmdir()
            wait_until(lambda: requests.post(f"{server.url}/setup", json=setup(), timeout=30).ok, 30, "the host goes on")
        finally:
            server.stop()


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


def stored(store: Store) -> Project:
    project = store.project(PROJECT)
    assert project is not None
    return project


def connection(store: Store) -> tuple[str, str]:
    return stored(store).hostname, stored(store).access_token
