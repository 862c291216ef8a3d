"""The webhook gets its secret, and the password goes to nobody: only what answers as this backend is ours."""

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.demo.servers import free_port
from pt4al_backend.label_studio.client import LabelStudio
from pt4al_backend.label_studio.identity import instance_at
from pt4al_backend.label_studio.registration import Identity, Registration
from tests.support import image_server
from tests.support.stub_server import Reply, Request, stub_server

ME = Identity("a" * 32, "the-secret-of-the-webhook")
PASSWORD = "the-password-of-the-pages"
OLD = "Basic " + base64.b64encode(f"studio:{PASSWORD}".encode()).decode()


class Site:
    """A Label Studio whose project lists backends and webhooks, and keeps what is changed about them."""

    def __init__(self, servers: ExitStack) -> None:
        self._servers = servers
        self.backends: list[dict[str, Any]] = []
        self.hooks: list[dict[str, Any]] = []
        self.url, self.received = servers.enter_context(stub_server(self._answer))

    def add_backend(self, reply: Reply, *, hook: bool = True, **headers: str) -> list[Request]:
        """Lists a backend whose /health answers with this; returns the requests that it receives."""
        url, received = self._servers.enter_context(stub_server(lambda _: reply))
        self.backends.append({"id": len(self.backends), "url": url, "basic_auth_user": "studio"})
        if hook:
            self.hooks.append({"id": len(self.hooks), "url": f"{url}/webhook", "send_payload": True, "headers": dict(headers)})
        return received

    def _answer(self, request: Request) -> Reply:
        if request.path.startswith("/api/ml/"):
            return Reply(body=self.backends)
        if request.method == "PATCH":
            hook = self.hooks[int(request.path.split("/")[3])]
            hook |= request.json
            return Reply(body=hook)
        return Reply(body=self.hooks)


@pytest.fixture
def site() -> Iterator[Site]:
    with ExitStack() as servers:
        yield Site(servers)


@pytest.fixture
def registration(site: Site, settings: ServerSettings) -> Registration:
    guarded = settings.model_copy(update={"basic_auth_user": "studio", "basic_auth_pass": PASSWORD})
    return Registration(guarded, ME, LabelStudio(site.url, "t" * 40), 7)


def mine(**fields: str) -> Reply:
    return Reply(body={"status": "UP", "instance": ME.instance, **fields})


OTHERS = {
    "without an instance": Reply(body={"status": "UP", "model_class": "PT4AL"}),
    "with another instance": Reply(body={"instance": "b" * 32}),
    "no object": Reply(body=[ME.instance]),
    "no JSON": Reply(body=ME.instance),
    "nested without end": Reply(body="[" * 4000),
    "too long": Reply(body="x" * 100_000),
    "an error": Reply(500, {"instance": ME.instance}),
    "a redirect": Reply(302, {"instance": ME.instance}, {"Location": "http://127.0.0.1:1/health"}),
}


def test_webhook_of_this_backend_gets_its_secret_and_no_password(site: Site, registration: Registration) -> None:
    probes = site.add_backend(mine(), Other="kept")
    assert registration.repair_webhook() == ""
    assert site.hooks[0]["headers"] == {"Other": "kept", "X-PT4AL-Webhook": ME.webhook_secret}
    assert [request.path for request in probes] == ["/health"]
    assert "Authorization" not in probes[0].headers


def test_second_look_changes_nothing(site: Site, registration: Registration) -> None:
    site.add_backend(mine())
    registration.repair_webhook()
    registration.repair_webhook()
    assert [request.method for request in site.received].count("PATCH") == 1


@pytest.mark.parametrize("reply", OTHERS.values(), ids=OTHERS.keys())
def test_other_backend_gets_neither_password_nor_secret(site: Site, registration: Registration, reply: Reply) -> None:
    probes = site.add_backend(reply)
    assert "Settings > Model" in registration.repair_webhook()
    assert site.hooks[0]["headers"] == {}
    sent = json.dumps([[request.path, dict(request.headers), request.body.decode()] for request in (*probes, *site.received)])
    assert PASSWORD not in sent
    assert base64.b64encode(f"studio:{PASSWORD}".encode()).decode() not in sent
    assert ME.webhook_secret not in sent


def test_password_of_an_earlier_version_is_removed_from_every_webhook(site: Site, registration: Registration) -> None:
    site.add_backend(mine(), Authorization=OLD)
    site.add_backend(OTHERS["with another instance"], Authorization=OLD)
    site.add_backend(OTHERS["no object"], Authorization="Basic " + base64.b64encode(b"studio:rotated").decode())
    site.add_backend(OTHERS["no object"], Authorization="Basic " + base64.b64encode(b"somebody:else").decode())
    assert registration.repair_webhook() == ""
    headers = [hook["headers"] for hook in site.hooks]
    assert headers[:3] == [{"X-PT4AL-Webhook": ME.webhook_secret}, {}, {}]
    assert "Authorization" in headers[3]


def test_missing_webhook_names_the_switches(site: Site, registration: Registration) -> None:
    site.add_backend(mine(), hook=False)
    assert "ML_BLOCK_LOCAL_IP" in registration.repair_webhook()


def test_webhook_needs_no_secret_without_basic_auth(site: Site, settings: ServerSettings) -> None:
    site.add_backend(OTHERS["no JSON"])
    assert Registration(settings, ME, LabelStudio(site.url, "t" * 40), 7).repair_webhook() == ""
    assert site.hooks[0]["headers"] == {}


def test_address_that_does_not_answer_has_no_instance() -> None:
    for url in ("", "pt4al.local:9090", "file:///etc/passwd", "http://", "http://[::1", "http://a..b", "http://127.0.0.1:99999"):
        assert instance_at(url) is None
    assert instance_at(f"http://127.0.0.1:{free_port()}") is None


def test_password_in_the_address_is_not_sent(site: Site) -> None:
    probes = site.add_backend(mine())
    assert instance_at(site.backends[0]["url"].replace("http://", "http://user:word@") + "/") == ME.instance
    assert "Authorization" not in probes[0].headers


@pytest.mark.parametrize("piece", [b"", b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n"])
def test_backend_that_answers_byte_by_byte_is_given_up(piece: bytes) -> None:
    server = image_server.Server()
    server.answers["/health"] = server.drip(piece)
    try:
        assert instance_at(server.url, 0.3) is None
    finally:
        server.close()


def test_entries_that_never_answer_cost_a_limited_time(
    site: Site, registration: Registration, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = image_server.Server()
    server.answers["/health"] = server.drip(b"")
    monkeypatch.setattr("pt4al_backend.label_studio.registration.ASKING_SECONDS", 0.3)
    site.backends += [{"id": number, "url": server.url} for number in range(1000)]
    try:
        assert "Settings > Model" in registration.repair_webhook()
        assert len(server.requests) < 10
    finally:
        server.close()
