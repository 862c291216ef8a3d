"""Who may ask for what."""

import base64
from collections.abc import Callable

import pytest

from pt4al_backend.state.store import Store
from tests.support.bodies import event, predict, setup
from tests.support.web_client import Client, RecordingQueue

USER, PASSWORD = "lead", "pass:wörd"
GETS = (
    "/", "/versions", "/metrics", "/api/projects", "/api/projects/3", "/projects/3", "/projects/3/status", "/docs",
    "/openapi.json", "/setup?refused=x", "/nowhere", "/health/", "/health/x", "//health",
)  # fmt: skip
POSTS = {"/setup": setup(), "/predict": predict(1), "/webhook": event(), "/train": {"project": 3}, "/versions": {"project": 3}}


def basic(credentials: bytes) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(credentials).decode()}"}


@pytest.fixture
def guarded(connect_client: Callable[..., Client]) -> Client:
    return connect_client(basic_auth_user=USER, basic_auth_pass=PASSWORD)


WRONG = {
    "none": {},
    "empty": {"Authorization": ""},
    "no password": basic(b"lead"),
    "wrong password": basic(b"lead:guess"),
    "wrong user": basic(f"admin:{PASSWORD}".encode()),
    "nothing": basic(b""),
    "a prefix": basic(f"{USER}:{PASSWORD}"[:-1].encode()),
    "another scheme": {"Authorization": basic(f"{USER}:{PASSWORD}".encode())["Authorization"].replace("Basic", "Bearer")},
    "no base64": {"Authorization": "Basic \xe4\xf6"},
}


@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG.keys())
def test_every_route_requires_the_credentials(guarded: Client, queue: RecordingQueue, headers: dict[str, str]) -> None:
    raw = {key: value.encode("latin-1") for key, value in headers.items()}
    answers = [guarded.get(path, headers=raw) for path in GETS]
    answers += [guarded.post(path, json=body, headers=raw) for path, body in POSTS.items()]
    for answer in answers:
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        assert "BASIC_AUTH_USER" in answer.json()["remedy"]
    assert queue.requests == []


def test_health_is_open(guarded: Client) -> None:
    assert guarded.get("/health").status_code == 200


def test_webhook_takes_its_secret_and_nothing_else_does(guarded: Client, store: Store, queue: RecordingQueue) -> None:
    store.connect(3)
    secret = store.instance().webhook_secret
    assert guarded.post("/webhook", json=event(), headers={"X-PT4AL-Webhook": secret}).status_code == 200
    assert queue.requests == [3]
    for path, body in POSTS.items():
        for wrong in ("", secret[:-1], f"{secret}x", "é") + (() if path == "/webhook" else (secret,)):
            headers = {"X-PT4AL-Webhook": wrong.encode("latin-1")}
            assert guarded.post(path, json=body, headers=headers).status_code == 401
    assert queue.requests == [3]


def test_health_gives_the_same_instance_to_everybody(guarded: Client, client: Client, store: Store) -> None:
    assert guarded.get("/health").json()["instance"] == client.get("/health").json()["instance"] == store.instance().id


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_right_credentials_open_every_route(guarded: Client, encoding: str) -> None:
    """Browsers send UTF-8; Label Studio, by way of requests, sends Latin-1."""
    right = basic(f"{USER}:{PASSWORD}".encode(encoding))
    assert [guarded.post(path, json=body, headers=right).status_code for path, body in POSTS.items()] == [200] * len(POSTS)
    assert not {guarded.get(path, headers=right).status_code for path in GETS} & {401, 403, 500}


def test_no_credentials_are_required_by_default(client: Client) -> None:
    assert [client.post(path, json=body).status_code for path, body in POSTS.items()] == [200] * len(POSTS)


def test_post_from_another_site_is_refused(client: Client, store: object, queue: RecordingQueue) -> None:
    client.post("/setup", json=setup())
    queue.requests.clear()
    for origin in ("https://evil.example", "http://backend.evil.example", "null"):
        answer = client.post("/train", json={"project": 3}, headers={"Origin": origin, "Content-Type": "text/plain"})
        assert answer.status_code == 403
    assert queue.requests == []
    assert client.post("/train", json={"project": 3}, headers={"Origin": "http://backend"}).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "same-origin, cross-site"])
def test_post_that_a_browser_calls_foreign_is_refused(client: Client, queue: RecordingQueue, site: str) -> None:
    client.post("/setup", json=setup())
    queue.requests.clear()
    for headers in ({}, {"Origin": "http://backend"}):
        for path, body in POSTS.items():
            answer = client.post(path, json=body, headers={"Sec-Fetch-Site": site, **headers})
            assert answer.status_code == 403
    assert queue.requests == []


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_post_of_the_backend_s_own_page_is_taken_behind_a_proxy(client: Client, site: str) -> None:
    client.post("/setup", json=setup())
    headers = {"Sec-Fetch-Site": site, "Origin": "https://pt4al.example.org"}
    assert client.post("/train", json={"project": 3}, headers=headers).status_code == 200


def test_malformed_origin_is_refused(client: Client) -> None:
    assert client.post("/train", json={"project": 3}, headers={"Origin": "http://[::1"}).status_code == 403


def test_json_is_read_under_any_content_type(client: Client) -> None:
    client.post("/setup", json=setup())
    body = b'{"action": "ANNOTATION_CREATED", "project": {"id": 3}}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert client.post("/webhook", content=body, headers={"Content-Type": kind}).status_code == 200
