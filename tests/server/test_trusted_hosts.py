"""Under which names the backend answers: a page whose own name resolves to this machine reads and changes nothing."""

from collections.abc import Callable

import pytest

from pt4al_backend.state.store import Store
from tests.support.bodies import event, predict, setup
from tests.support.web_client import Client, RecordingQueue

EVIL = "evil.example:9090"
PAGES = ("/", "/api/projects", "/api/projects/3", "/projects/3", "/metrics", "/versions", "/openapi.json", "/nowhere", "/setup")
POSTS = {"/setup": setup(), "/predict": predict(1), "/webhook": event(), "/train": {"project": 3}, "/versions": {"project": 3}}


@pytest.fixture
def backend(connect_client: Callable[..., Client]) -> Callable[..., Client]:
    """Clients of a backend with the default of allowed hosts, or with these settings."""
    return lambda **settings: connect_client(**{"allowed_hosts": "", **settings})


def status(client: Client, host: str, path: str = "/api/projects") -> int:
    return client.get(path, headers={"Host": host}).status_code


def test_page_that_rebinds_its_name_reads_nothing(backend: Callable[..., Client]) -> None:
    client = backend()
    for path in PAGES:
        answer = client.get(path, headers={"Host": EVIL})
        assert answer.status_code == 400, path
        assert "PT4AL_ALLOWED_HOSTS" in answer.json()["remedy"]


def test_page_that_rebinds_its_name_changes_nothing(backend: Callable[..., Client], store: Store, queue: RecordingQueue) -> None:
    client = backend()
    store.connect(3)
    for headers in (
        {"Origin": f"http://{EVIL}"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Origin": f"http://{EVIL}", "Sec-Fetch-Site": "none"},
    ):
        for path, body in POSTS.items():
            assert client.post(path, json=body, headers={"Host": EVIL, **headers}).status_code == 400, path
    assert queue.requests == []
    assert status(client, EVIL) == 400


@pytest.mark.parametrize("host", ["localhost", "localhost:9090", "LOCALHOST.", "127.0.0.1:9090", "[::1]:9090", "[::1]"])
def test_loopback_names_are_allowed(backend: Callable[..., Client], host: str) -> None:
    assert status(backend(), host) == 200


@pytest.mark.parametrize("host", ["", "127.0.0.1.evil.example", "localhost.evil.example", "[::1", "10.0.0.7", "[", "::", "é"])
def test_other_names_are_refused(backend: Callable[..., Client], host: str) -> None:
    client = backend()
    assert client.get("/api/projects", headers={"Host": host.encode("latin-1")}).status_code == 400


def test_bound_host_is_allowed(backend: Callable[..., Client]) -> None:
    assert status(backend(host="pt4al.example"), "pt4al.example:9090") == 200
    everywhere = backend(host="0.0.0.0")
    assert [status(everywhere, host) for host in ("10.0.0.7:9090", "[fd00::7]:9090", EVIL)] == [200, 200, 400]


def test_settings_allow_further_names(backend: Callable[..., Client]) -> None:
    client = backend(allowed_hosts="pt4al.example.org, *.inside.example ,")
    hosts = ("pt4al.example.org", "PT4AL.example.org:443", "a.inside.example", "inside.example", "localhost", EVIL)
    assert [status(client, host) for host in hosts] == [200, 200, 200, 400, 200, 400]
    assert status(backend(allowed_hosts="*"), EVIL) == 200


def test_name_that_label_studio_connects_to_is_learned(
    backend: Callable[..., Client], connect_client: Callable[..., Client], store: Store
) -> None:
    client = backend()
    headers = {"Host": "pt4al.local:9090"}
    assert client.post("/setup", json=setup(extra_params={"k": 1}), headers=headers).status_code == 400
    assert store.backend_hosts() == set()
    assert status(client, "pt4al.local") == 400
    assert client.post("/setup", json=setup(), headers=headers).status_code == 200
    assert store.backend_hosts() == {"pt4al.local"}
    assert status(client, "pt4al.local") == 200
    started_again = backend()
    assert started_again.post("/webhook", json=event(), headers=headers).status_code == 200
    assert status(started_again, "pt4al.local:9090") == 200


def test_health_is_open_under_any_name(backend: Callable[..., Client]) -> None:
    assert status(backend(), EVIL, "/health") == 200
