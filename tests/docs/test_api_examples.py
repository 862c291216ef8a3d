"""The requests that docs/api.md and docs/page-api.md show are answered."""

from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from pt4al_backend.config import server_settings
from pt4al_backend.server.app import create_app
from tests.support.pages import DOCS, Page, commands_of

API, OF_PAGES = Page(DOCS / "api.md"), Page(DOCS / "page-api.md")
BACKEND = "http://127.0.0.1:9090"
USER, PASSWORD = "label-studio", "password"


def requests() -> list[list[str]]:
    """The curl commands, with the page's variables filled in."""
    scripts = [
        block.replace("$BACKEND", BACKEND).replace("$AUTH", f"{USER}:{PASSWORD}")
        for page in (API, OF_PAGES)
        for block in page.blocks("sh")
    ]
    return [words[1:] for script in scripts for words in commands_of(script) if words[0] == "curl"]


def send(client: TestClient, words: list[str]) -> httpx.Response:
    """Does what curl does with these arguments."""
    method, url, content, auth, headers = "GET", "", None, None, {}
    rest = iter(words)
    for word in rest:
        if word == "--request":
            method = next(rest)
        elif word == "--data":
            content = next(rest)
        elif word == "--user":
            user, _, password = next(rest).partition(":")
            auth = (user, password)
        elif word == "--header":
            name, _, value = next(rest).partition(": ")
            headers[name] = value
        else:
            assert word.startswith(BACKEND), word
            url = word.removeprefix(BACKEND)
    return client.request(method, url, content=content, auth=auth, headers=headers)


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    return TestClient(create_app(server_settings(data_dir=tmp_path, basic_auth_user=USER, basic_auth_pass=PASSWORD)))


def test_page_shows_the_variables_that_its_examples_use() -> None:
    assert f"export BACKEND={BACKEND}\nexport AUTH={USER}:{PASSWORD}\n" in API.blocks("sh")


def test_requests_succeed_once_the_project_is_connected(client: TestClient) -> None:
    examples = requests()
    assert len(examples) >= 9
    setup = next(words for words in examples if f"{BACKEND}/setup" in words)
    for words in (setup, *examples):
        answer = send(client, words)
        assert answer.status_code == 200, (words, answer.text)


def test_every_route_of_the_app_is_on_a_page(client: TestClient) -> None:
    for path in client.app.openapi()["paths"]:  # type: ignore[attr-defined]
        shown = path.replace("{project}", "ID")
        assert any(f"`{shown}`" in page.prose or f"### {shown}\n" in page.text for page in (API, OF_PAGES)), path


def test_every_metric_is_on_the_page(client: TestClient) -> None:
    send(client, next(words for words in requests() if f"{BACKEND}/setup" in words))
    send(client, next(words for words in requests() if f"{BACKEND}/webhook" in words))
    page = client.get("/metrics", auth=(USER, PASSWORD)).text
    names = {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE pt4al_")}
    assert names
    for name in names - {"pt4al_http_request_seconds_created", "pt4al_webhooks_created"}:
        assert f"`{name}`" in API.prose, name


def test_every_key_of_a_project_on_the_page_is_in_the_answer(client: TestClient) -> None:
    send(client, next(words for words in requests() if f"{BACKEND}/setup" in words))
    project = client.get("/api/projects/3", auth=(USER, PASSWORD)).json()
    keys = [line.split("|")[1] for line in API.text.splitlines() if line.startswith("| `")]
    shown = {key.strip(" `") for cell in keys for key in cell.split(",")}
    assert shown
    assert shown <= project.keys()
