"""The app's answers when something goes wrong, and what openapi.json says of them."""

import logging
import re
import sqlite3
from typing import Any

import anyio
import pytest
from sqlalchemy.exc import OperationalError

from pt4al_backend.config import ServerSettings
from pt4al_backend.errors import ConfigError
from pt4al_backend.server.app import create_app
from pt4al_backend.state.store import Store
from tests.support.bodies import CONFIG, TOKEN, event, setup
from tests.support.web_client import Client, RecordingQueue


def test_unexpected_error_is_logged_but_not_shown(
    client: Client, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: int) -> None:
        raise ZeroDivisionError("a detail of no use to anybody outside")

    monkeypatch.setattr(store, "project", broken)
    with caplog.at_level(logging.ERROR):
        answer = client.post("/webhook", json=event())
    assert answer.status_code == 500
    assert "log" in answer.json()["remedy"]
    assert "a detail" not in answer.text
    assert "ZeroDivisionError" in caplog.text
    monkeypatch.undo()
    assert client.post("/setup", json=setup()).status_code == 200


def test_full_disk_is_named_without_the_values(
    client: Client, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **fields: object) -> None:
        raise OperationalError("INSERT …", fields, sqlite3.OperationalError("database or disk is full"))

    monkeypatch.setattr(store, "connect", full)
    answer = client.post("/setup", json=setup())
    assert answer.status_code == 503
    assert "database or disk is full" in answer.json()["error"]
    assert "PT4AL_DATA_DIR" in answer.json()["remedy"]
    assert TOKEN not in answer.text + caplog.text


def test_queue_that_cannot_be_written_answers_503(client: Client, queue: RecordingQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    client.post("/setup", json=setup())
    monkeypatch.setattr(queue, "request", full)
    assert client.post("/webhook", json=event()).status_code == 503


def test_not_found_comes_as_page_or_json(client: Client) -> None:
    for path in (
        "/nowhere",
        "/api/projects/9",
        "/projects/9",
        "/api/projects/3;drop",
        "/api/projects/-1",
        "/projects/" + "9" * 40,
    ):
        answer, page = client.get(path), client.page(path)
        assert (answer.status_code, page.status_code) == (404, 404)
        assert answer.json()["error"]
        assert page.headers["content-type"].startswith("text/html")
    assert client.get("/webhook").status_code == 405


def test_errors_and_home_page_link_to_openapi(client: Client) -> None:
    remedy = client.get("/nowhere").json()["remedy"]
    assert "/openapi.json" in remedy
    assert 'href="/openapi.json"' in client.page("/").text
    assert "/webhook" in client.get("/openapi.json").json()["paths"]


def test_pages_that_need_the_internet_are_off(client: Client) -> None:
    assert [client.page(path).status_code for path in ("/docs", "/redoc")] == [404, 404]


def test_bad_environment_is_refused_at_the_start(
    settings: ServerSettings, store: Store, queue: RecordingQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PT4AL_ROUNDS", "many")
    with pytest.raises(ConfigError, match="PT4AL_ROUNDS"):
        create_app(settings, store, queue)


def test_app_opens_and_closes_its_own_state(settings: ServerSettings) -> None:
    app = create_app(settings)

    async def live() -> None:
        async with app.router.lifespan_context(app):
            assert (settings.data_dir / "state.sqlite3").exists()

    anyio.run(live)
    assert not (settings.data_dir / "state.sqlite3-wal").exists()


def test_every_answer_forbids_sniffing(client: Client) -> None:
    for path in ("/", "/health", "/api/projects", "/metrics", "/nowhere", "/openapi.json"):
        assert client.get(path).headers["X-Content-Type-Options"] == "nosniff"


def test_openapi_names_bodies_and_errors(client: Client) -> None:
    described = client.get("/openapi.json").json()
    schemas = described["components"]["schemas"]
    expected = {"setup": "SetupRequest", "predict": "PredictRequest", "webhook": "WebhookEvent", "train": "TrainRequest"}
    for path, name in {**expected, "versions": "VersionsRequest"}.items():
        route = described["paths"][f"/{path}"]["post"]
        assert route["requestBody"]["content"]["application/json"]["schema"] == {"$ref": f"#/components/schemas/{name}"}
        assert "project" in schemas[name]["required"]
        assert {"200", "400", "401", "408", "413", "503"} <= route["responses"].keys()
    assert "404" in described["paths"]["/webhook"]["post"]["responses"]
    assert list(described["paths"]["/metrics"]["get"]["responses"]["200"]["content"]) == ["text/plain"]


def test_openapi_says_of_every_route_what_it_sends_and_with_what_it_refuses(client: Client) -> None:
    paths = {path: routes for path, routes in client.get("/openapi.json").json()["paths"].items() if path.startswith("/api/")}
    for path, routes in paths.items():
        for method, route in routes.items():
            answers = route["responses"]
            sent = {kind: each["schema"] for kind, each in answers["200"]["content"].items()}
            assert sent, path
            assert all(sent.values()), path
            assert {"401", "503"} <= answers.keys(), path
            assert ("{project}" in path) == ("404" in answers), path
            assert (method == "post") == ("403" in answers), path
            assert ("requestBody" in route) == ("413" in answers), path
    assert list(paths["/api/projects/{project}/events"]["get"]["responses"]["200"]["content"]) == ["text/event-stream"]
    away = "/api/projects/{project}/take-away"
    files = paths[f"{away}/{{table}}.{{form}}"]["get"]["responses"]["200"]["content"]
    assert len(files) == 2
    assert "application/json" not in files
    report = paths[f"{away}/report.pdf"]["get"]["responses"]
    assert list(report["200"]["content"]) == ["application/pdf"]
    assert {"401", "404", "409", "500", "503"} <= report.keys()


def test_every_reference_of_openapi_is_defined(client: Client) -> None:
    text = client.get("/openapi.json").text
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    referred = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert referred
    assert referred <= schemas.keys()
    assert "422" not in text


LONG = "x" * 3_000_000


@pytest.mark.parametrize(
    "fields",
    [
        {"extra_params": {"rounds": LONG}},
        {"extra_params": {LONG: 1}},
        {"extra_params": dict.fromkeys(map(str, range(100_000)))},
        {"extra_params": LONG},
        {"extra_params": f'["{LONG}"]'},
        {"extra_params": {"strategy": LONG}},
        {"extra_params": {"first_query": f"batch:{'9' * 4000}"}},
        {"extra_params": {"background": LONG}},
        {"extra_params": {"query_size": [LONG]}},
        {"schema": f"<View><{LONG}/></View>"},
        {"schema": CONFIG.replace('value="b"', f'value="{LONG}"').replace('value="a"', f'value="{LONG}"')},
        {"hostname": f"http://{LONG}"},
        {"access_token": LONG},
        {"project": LONG},
    ],
    ids=lambda fields: str(fields)[:30],
)
def test_answer_and_log_about_a_long_value_are_short(client: Client, caplog: pytest.LogCaptureFixture, fields: Any) -> None:
    answer = client.post("/setup", json=setup(**fields))
    assert answer.status_code == 400
    assert len(answer.content) < 10_000
    assert len(caplog.text) < 10_000


def test_client_that_leaves_in_mid_body_is_no_error(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    async def left() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send(_: object) -> None:
        pass

    scope = {
        "type": "http", "method": "POST", "path": "/webhook", "raw_path": b"/webhook", "query_string": b"", "root_path": "",
        "headers": [(b"host", b"backend"), (b"content-length", b"100")], "scheme": "http", "server": ("backend", 80),
        "http_version": "1.1",
    }  # fmt: skip
    with caplog.at_level(logging.INFO):
        anyio.run(client.app, scope, left, send)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
