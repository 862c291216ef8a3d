"""Tokens, retries and errors of requests, against a stub that answers as Label Studio does."""

import base64
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from requests.adapters import HTTPAdapter

from pt4al_backend.demo.servers import free_port
from pt4al_backend.errors import AuthError, LabelStudioError, Unreachable
from pt4al_backend.label_studio.http import Connection, NotFound
from tests.support.stub_server import Reply, Request, stub_server

LEGACY = "0123456789abcdef0123456789abcdef01234567"


def web_token(**claims: Any) -> str:
    """A token as Label Studio makes them, with a signature that means nothing."""
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


PERSONAL = web_token(token_type="refresh", exp=8000000000, iat=1700000000, jti="personal")


def token_issuer(lifetime: int) -> Callable[[Request], Reply]:
    """Exchanges the personal token for access tokens a1, a2, ... and accepts the newest one alone."""
    issued: list[str] = []

    def answer(request: Request) -> Reply:
        if request.path == "/api/token/refresh/":
            assert request.json == {"refresh": PERSONAL}
            issued.append(web_token(token_type="access", iat=1000, exp=1000 + lifetime, jti=f"a{len(issued) + 1}"))
            return Reply(200, {"access": issued[-1]})
        if issued and request.headers.get("Authorization") == f"Bearer {issued[-1]}":
            return Reply(200, {"token": issued[-1]})
        return Reply(401, {"detail": "Given token not valid"})

    return answer


def exchanges(seen: list[Request]) -> int:
    return sum(request.path == "/api/token/refresh/" for request in seen)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "label-studio:8080",
        "127.0.0.1:8080",
        "ftp://host",
        "//host",
        "http://",
        "http://host:port",
        "http://me:secret@host",
        "http://host/?a=1",
    ],
)
def test_invalid_address_is_refused_naming_the_variable(url: str) -> None:
    with pytest.raises(LabelStudioError) as caught:
        Connection(url, LEGACY)
    assert "LABEL_STUDIO_URL" in str(caught.value)
    assert "needs http:// or https://" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_trailing_slash_and_a_path_prefix_are_fine() -> None:
    with stub_server(lambda request: Reply(200, {"path": request.path})) as (url, _):
        assert Connection(f"{url}/", LEGACY).request("GET", "/api/version") == {"path": "/api/version"}
        assert Connection(f"{url}/studio/", LEGACY).request("GET", "/api/version") == {"path": "/studio/api/version"}


@pytest.mark.parametrize("token", ["", "  ", "two words", "t\u00f6ken", web_token(token_type="access", exp=1)])
def test_a_token_that_cannot_work_is_refused_before_any_request(token: str) -> None:
    with pytest.raises(AuthError) as caught:
        Connection("http://127.0.0.1:1", token)
    assert "LABEL_STUDIO_API_KEY" in caught.value.remedy


def test_a_legacy_token_goes_along_as_it_is() -> None:
    with stub_server(lambda request: Reply(200, {"sent": request.headers["Authorization"]})) as (url, _):
        connection = Connection(url, f" {LEGACY}\n")
        assert connection.token_kind == "legacy"
        assert connection.request("GET", "/api/version") == {"sent": f"Token {LEGACY}"}
        assert connection.authorization() == {"Authorization": f"Token {LEGACY}"}


def test_a_personal_token_is_exchanged_once_for_many_requests_of_many_threads() -> None:
    with stub_server(token_issuer(lifetime=300)) as (url, seen):
        connection = Connection(url, PERSONAL)
        assert connection.token_kind == "personal"
        threads = [threading.Thread(target=connection.request, args=("GET", "/api/version")) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert exchanges(seen) == 1
        assert len(seen) == 9


def test_an_access_token_at_its_end_is_replaced_before_the_next_request() -> None:
    with stub_server(token_issuer(lifetime=0)) as (url, seen):
        connection = Connection(url, PERSONAL)
        connection.request("GET", "/api/version")
        connection.request("GET", "/api/version")
        assert [request.path for request in seen] == ["/api/token/refresh/", "/api/version"] * 2


def test_an_access_token_that_is_refused_early_is_replaced_once() -> None:
    issue = token_issuer(lifetime=300)
    refuse = True

    def answer(request: Request) -> Reply:
        nonlocal refuse
        if refuse and request.path == "/api/version":
            refuse = False
            return Reply(401, {"detail": "Given token not valid"})
        return issue(request)

    with stub_server(answer) as (url, seen):
        assert "token" in Connection(url, PERSONAL).request("GET", "/api/version")
        assert exchanges(seen) == 2


def test_a_personal_token_whose_access_tokens_are_refused_ends_in_an_error() -> None:
    issue = token_issuer(lifetime=300)
    refused = Reply(401, {"detail": "Authentication credentials were not provided."})
    with stub_server(lambda request: issue(request) if "refresh" in request.path else refused) as (url, seen):
        with pytest.raises(AuthError, match="personal token") as caught:
            Connection(url, PERSONAL).request("GET", "/api/version")
        assert len(seen) == 4
        assert "LABEL_STUDIO_API_KEY" in caught.value.remedy


def test_a_revoked_personal_token_is_reported_without_showing_it() -> None:
    refused = Reply(401, {"detail": f"Token is blacklisted: {PERSONAL}"})
    with stub_server(lambda _: refused) as (url, _), pytest.raises(AuthError, match="revoked") as caught:
        Connection(url, PERSONAL).authorization()
    assert PERSONAL not in str(caught.value)


def test_a_refused_legacy_token_points_at_the_switch_that_is_off_by_default() -> None:
    refused = Reply(401, {"detail": f"legacy token authentication has been disabled {LEGACY}"})
    with stub_server(lambda _: refused) as (url, _), pytest.raises(AuthError, match="has been disabled") as caught:
        Connection(url, LEGACY).request("GET", "/api/version")
    assert "enable legacy tokens" in caught.value.remedy
    assert LEGACY not in str(caught.value) + repr(Connection(url, LEGACY))


@pytest.mark.parametrize(
    ("reply", "error", "reason"),
    [
        (Reply(403, {"detail": "No permission"}), AuthError, "No permission"),
        (Reply(404, {"detail": "No Project matches"}), NotFound, "No Project matches"),
        (
            Reply(400, {"detail": "Validation error", "validation_errors": {"title": ["too short"]}}),
            LabelStudioError,
            "too short",
        ),
        (Reply(500, {"detail": "boom", "exc_info": "Traceback"}), LabelStudioError, "HTTP 500: boom"),
        (Reply(429, {"detail": "slow down"}), Unreachable, "HTTP 429"),
        (Reply(200, "<html>a home page</html>"), LabelStudioError, "does not answer as Label Studio does"),
        (Reply(404, "<html>not here</html>"), LabelStudioError, "does not answer as Label Studio does"),
        (Reply(200, "{", {"Content-Type": "application/json"}), LabelStudioError, "does not answer as Label Studio does"),
        (
            Reply(301, "", {"Location": "https://other.example/?token=1"}),
            LabelStudioError,
            "redirects to https://other.example/.",
        ),
    ],
)
def test_error_answers_become_errors_with_a_remedy(reply: Reply, error: type[LabelStudioError], reason: str) -> None:
    with stub_server(lambda _: reply) as (url, seen), pytest.raises(LabelStudioError) as caught:
        Connection(url, LEGACY).request("GET", "/api/version")
    assert type(caught.value) is error
    assert reason in caught.value.message
    assert "Traceback" not in str(caught.value)
    assert len(seen) == 1


def test_a_long_answer_is_shortened() -> None:
    with stub_server(lambda _: Reply(400, {"detail": "x\n" * 5000})) as (url, _), pytest.raises(LabelStudioError) as caught:
        Connection(url, LEGACY).request("GET", "/api/version")
    assert len(caught.value.message) < 500
    assert "\n" not in caught.value.message


def test_an_answer_without_content_is_none() -> None:
    with stub_server(lambda _: Reply(204, "")) as (url, _):
        assert Connection(url, LEGACY).request("DELETE", "/api/tasks/1/") is None


@pytest.mark.parametrize(("method", "attempts"), [("GET", 2), ("PATCH", 2), ("DELETE", 2), ("POST", 1)])
def test_only_idempotent_requests_are_retried(method: str, attempts: int) -> None:
    def answer(_: Request) -> Reply:
        return Reply(503, "") if len(seen) == 1 else Reply(200, {"done": True})

    with stub_server(answer) as (url, seen):
        connection = Connection(url, LEGACY)
        if attempts == 1:
            with pytest.raises(Unreachable):
                connection.request(method, "/api/projects/1/")
        else:
            assert connection.request(method, "/api/projects/1/") == {"done": True}
        assert len(seen) == attempts


def test_refused_connection_is_unreachable_naming_the_variable() -> None:
    connection = Connection(f"http://127.0.0.1:{free_port()}", LEGACY, adapter=HTTPAdapter(max_retries=0))
    with pytest.raises(Unreachable, match="connection refused") as caught:
        connection.request("GET", "/api/version")
    assert "LABEL_STUDIO_URL" in caught.value.remedy


def test_no_answer_in_time_is_unreachable() -> None:
    ended = threading.Event()

    def answer(_: Request) -> Reply:
        ended.wait(30)
        return Reply()

    with stub_server(answer) as (url, _):
        connection = Connection(url, LEGACY, timeout=(1.0, 0.05), adapter=HTTPAdapter(max_retries=0))
        with pytest.raises(Unreachable):
            connection.request("GET", "/api/version")
        ended.set()


def test_the_session_cookie_of_label_studio_is_not_sent_back() -> None:
    with stub_server(lambda _: Reply(200, {}, {"Set-Cookie": "sessionid=abc; Path=/"})) as (url, seen):
        connection = Connection(url, LEGACY)
        connection.request("GET", "/api/version")
        connection.request("GET", "/api/version")
    assert "Cookie" not in seen[1].headers


def test_a_netrc_of_the_machine_does_not_replace_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with stub_server(lambda request: Reply(200, {"sent": request.headers["Authorization"]})) as (url, _):
        assert Connection(url, LEGACY).request("GET", "/api/version") == {"sent": f"Token {LEGACY}"}
