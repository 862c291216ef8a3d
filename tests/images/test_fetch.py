import socket
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from pt4al_backend.errors import AuthError, ImageUnreadable, Unreachable
from pt4al_backend.images.fetch import FAILURES
from tests.support.image_server import IMAGE, Handler, Web, raw, redirect, reply


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as web:
        yield web


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as sock:  # bound, so that nobody else takes it, but not listening
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def test_label_studios_files_come_with_the_token(web: Web) -> None:
    web.label_studio.answers |= {"/data/upload/1/x.png": reply(), "/data/local-files/": reply(b"local")}
    it = web.fetcher()
    assert it.fetch("/data/upload/1/x.png", 1) == IMAGE
    assert it.fetch(f"{web.label_studio.url}/data/local-files/?d=a/b.png", 2) == b"local"
    assert web.label_studio.paths() == ["/data/upload/1/x.png", "/data/local-files/?d=a/b.png"]
    assert web.label_studio.tokens() == ["Token secret-token"] * 2


def test_hostname_of_label_studio_is_replaced_by_its_url(web: Web) -> None:
    web.label_studio.answers["/data/upload/1/x.png"] = reply()
    it = web.fetcher(hostnames=(web.elsewhere.url,))
    assert it.fetch(f"{web.elsewhere.url}/data/upload/1/x.png", 1) == IMAGE
    assert web.label_studio.tokens() == ["Token secret-token"]
    assert web.elsewhere.requests == []


def test_other_hosts_get_no_token(web: Web) -> None:
    web.elsewhere.answers["/data/upload/1/x.png"] = reply()
    assert web.fetcher().fetch(f"{web.elsewhere.url}/data/upload/1/x.png", 1) == IMAGE
    assert web.elsewhere.tokens() == [None]
    assert web.label_studio.requests == []


def test_a_redirect_to_another_host_drops_the_token(web: Web) -> None:
    web.label_studio.answers["/data/upload/x.png"] = redirect(f"{web.elsewhere.url}/x.png?sig=1")
    web.elsewhere.answers["/x.png"] = reply()
    assert web.fetcher().fetch("/data/upload/x.png", 1) == IMAGE
    assert web.label_studio.tokens() == ["Token secret-token"]
    assert web.elsewhere.requests[0][0] == "/x.png?sig=1"
    assert web.elsewhere.tokens() == [None]


def test_a_redirect_from_elsewhere_into_label_studio_carries_no_token(web: Web) -> None:
    web.elsewhere.answers["/x.png"] = redirect(f"{web.label_studio.url}/data/upload/x.png")
    web.label_studio.answers["/data/upload/x.png"] = reply()
    web.fetcher().fetch(f"{web.elsewhere.url}/x.png", 1)
    assert web.label_studio.tokens() == [None]


def test_cloud_uris_are_presigned_for_their_task(web: Web) -> None:
    web.label_studio.answers["/tasks/42/presign/"] = redirect(f"{web.elsewhere.url}/bucket/x.png?X-Signature=abc", 303)
    web.elsewhere.answers["/bucket/x.png"] = reply()
    assert web.fetcher().fetch("s3://bucket/x.png", 42) == IMAGE
    assert web.label_studio.paths() == ["/tasks/42/presign/?fileuri=czM6Ly9idWNrZXQveC5wbmc="]
    assert web.label_studio.tokens() == ["Token secret-token"]
    assert web.elsewhere.tokens() == [None]


def test_a_cloud_uri_without_a_storage_says_what_is_missing(web: Web) -> None:
    with pytest.raises(ImageUnreadable, match=r"s3://bucket/x\.png") as caught:
        web.fetcher().fetch("s3://bucket/x.png", 42)
    assert "source storage" in caught.value.remedy


def test_a_refused_token_is_refreshed_once(web: Web) -> None:
    def only_fresh(handler: Handler) -> None:
        reply(status=200 if handler.headers["Authorization"] == "Bearer fresh" else 401)(handler)

    web.label_studio.answers["/data/x.png"] = only_fresh
    it = web.fetcher(authorize=lambda refresh=False: {"Authorization": "Bearer fresh" if refresh else "Bearer stale"})
    assert it.fetch("/data/x.png", 1) == IMAGE
    assert web.label_studio.tokens() == ["Bearer stale", "Bearer fresh"]


def test_a_token_refused_twice_is_an_error_of_its_own(web: Web) -> None:
    web.label_studio.answers["/data/x.png"] = reply(status=401)
    with pytest.raises(AuthError) as caught:
        web.fetcher().fetch("/data/x.png", 1)
    assert "LABEL_STUDIO_API_KEY" in caught.value.remedy
    assert len(web.label_studio.requests) == 2


def test_a_login_in_the_url_goes_to_its_host_alone(web: Web) -> None:
    first, second = web.server(), web.server()
    first.answers["/x.png"] = redirect(f"{second.url}/x.png")
    second.answers["/x.png"] = reply()
    assert web.fetcher().fetch(f"http://user:p%40ss@127.0.0.1:{first.port}/x.png", 1) == IMAGE
    assert first.tokens() == ["Basic dXNlcjpwQHNz"]
    assert second.tokens() == [None]


def test_proxies_of_the_environment_are_not_used(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, web.elsewhere.url)
    web.label_studio.answers["/data/x.png"] = reply()
    assert web.fetcher().fetch("/data/x.png", 1) == IMAGE
    assert web.elsewhere.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_three_redirects_are_followed(web: Web, status: int) -> None:
    web.elsewhere.answers |= {"/1": redirect("2", status), "/2": redirect("/3", status), "/3": redirect("?4", status)}
    web.elsewhere.answers["/3"] = lambda handler: (reply() if "?4" in handler.path else redirect("?4", status))(handler)
    assert web.fetcher().fetch(f"{web.elsewhere.url}/1", 1) == IMAGE
    assert web.elsewhere.paths() == ["/1", "/2", "/3", "/3?4"]


def test_a_redirect_loop_ends(web: Web) -> None:
    web.elsewhere.answers["/x"] = redirect("/x")
    with pytest.raises(ImageUnreadable, match="3 redirects"):
        web.fetcher().fetch(f"{web.elsewhere.url}/x", 1)
    assert len(web.elsewhere.requests) == 4


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://host/x", "http://[::1/"])
def test_redirect_to_another_scheme_is_refused(web: Web, location: str) -> None:
    web.elsewhere.answers["/x"] = redirect(location)
    with pytest.raises(ImageUnreadable):
        web.fetcher().fetch(f"{web.elsewhere.url}/x", 1)


@pytest.mark.parametrize(
    ("at_label_studio", "status"),
    [(True, status) for status in (400, 403, 404, 410, 302)] + [(False, status) for status in (400, 401, 403, 404, 410, 302)],
)
def test_a_missing_image_is_the_images_own_fault(web: Web, at_label_studio: bool, status: int) -> None:
    host = web.label_studio if at_label_studio else web.elsewhere
    host.answers["/data/x.png"] = reply(b"no", status)
    with pytest.raises(ImageUnreadable, match=f"status {status}") as caught:
        web.fetcher().fetch(f"{host.url}/data/x.png", 1)
    assert not caught.value.transient
    assert caught.value.remedy


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_failing_host_may_be_tried_again(web: Web, status: int) -> None:
    web.elsewhere.answers["/x"] = reply(b"", status)
    with pytest.raises(ImageUnreadable, match=f"status {status}") as caught:
        web.fetcher().fetch(f"{web.elsewhere.url}/x", 1)
    assert caught.value.transient


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"half"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"9\r\nx"),
    ],
)
def test_a_connection_that_breaks_off_may_be_tried_again(web: Web, pieces: tuple[bytes, ...]) -> None:
    web.elsewhere.answers["/x"] = raw(*pieces)
    with pytest.raises(ImageUnreadable, match="broke off") as caught:
        web.fetcher().fetch(f"{web.elsewhere.url}/x", 1)
    assert caught.value.transient


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 200 + b"\r\n"]
)
def test_answer_that_is_not_http_is_refused(web: Web, answer: bytes) -> None:
    web.elsewhere.answers["/x"] = raw(answer)
    with pytest.raises(ImageUnreadable):
        web.fetcher().fetch(f"{web.elsewhere.url}/x", 1)


def test_unknown_hosts_may_be_tried_again(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ImageUnreadable, match="cannot be found by its name") as caught:
        web.fetcher().fetch("http://images.example.com/x.png", 1)
    assert caught.value.transient


def test_label_studio_down_is_not_the_images_fault(web: Web, closed_port: int) -> None:
    with pytest.raises(Unreachable, match=f"127.0.0.1:{closed_port} refuses connections") as caught:
        web.fetcher(url=f"http://127.0.0.1:{closed_port}").fetch("/data/x.png", 1)
    assert "LABEL_STUDIO_URL" in caught.value.remedy


@pytest.mark.parametrize("failure", ["silence", "503", "break"])
@pytest.mark.parametrize("healthy", [True, False])
def test_a_healthy_label_studio_that_fails_at_one_image_is_not_down(web: Web, failure: str, healthy: bool) -> None:
    answer = {"silence": web.label_studio.drip(b""), "503": reply(b"", 503), "break": raw()}[failure]
    web.label_studio.answers["/data/x.png"] = answer
    if not healthy:
        web.label_studio.answers["/health"] = answer
    with pytest.raises(ImageUnreadable if healthy else Unreachable) as caught:
        web.fetcher(image_seconds=0.5).fetch("/data/x.png", 1)
    if healthy:
        assert isinstance(caught.value, ImageUnreadable)
        assert caught.value.transient


def test_a_dead_host_is_left_alone_after_a_while(web: Web) -> None:
    web.elsewhere.answers |= {"/bad": raw(), "/good": reply()}
    web.label_studio.answers["/data/x.png"] = reply()
    it = web.fetcher()

    def fail(times: int) -> ImageUnreadable:
        for _ in range(times):
            with pytest.raises(ImageUnreadable) as caught:
                it.fetch(f"{web.elsewhere.url}/bad", 1)
        return caught.value

    fail(FAILURES - 1)
    it.fetch(f"{web.elsewhere.url}/good", 1)  # one success starts the count again
    assert "broke off" in fail(FAILURES).message
    before = len(web.elsewhere.requests)
    last = fail(3)
    assert "left alone" in last.message
    assert last.transient
    assert len(web.elsewhere.requests) == before
    assert it.fetch("/data/x.png", 1) == IMAGE


def test_messages_and_tracebacks_hold_no_secrets(web: Web, closed_port: int) -> None:
    secrets = ["hunter2", "s3cr3t", "secret-token"]
    web.label_studio.answers |= {"/data/2": reply(b"", 500), "/data/3": raw()}
    web.label_studio.answers["/data/1"] = redirect(f"{web.elsewhere.url}/x?sig=s3cr3t")
    it = web.fetcher()
    references = [f"http://user:hunter2@127.0.0.1:{port}/x?sig=s3cr3t" for port in (web.elsewhere.port, closed_port)]
    references += [
        "/data/1",
        "/data/2?sig=s3cr3t",
        "/data/3?sig=s3cr3t",
        "s3://a:hunter2@b/x?sig=s3cr3t",
        "http://u:hunter2@[x/s3cr3t",
    ]
    for reference in references:
        with pytest.raises((ImageUnreadable, Unreachable)) as caught:
            it.fetch(reference, 1)
        text = "".join(traceback.format_exception_only(caught.value)) + caught.value.remedy + repr(caught.value.__cause__)
        assert not any(secret in text for secret in secrets)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("status", [403, 404])
def test_local_file_that_no_storage_covers_is_named_with_the_storage(web: Web, status: int) -> None:
    web.label_studio.answers["/data/local-files/"] = reply(b"", status)
    with pytest.raises(ImageUnreadable) as caught:
        web.fetcher().fetch("/data/local-files/?d=lake/2026/cat-0815.png", 1)
    assert "?d=lake/2026/cat-0815.png" in caught.value.message
    assert "Local files storage of this project covers its folder" in caught.value.remedy


def test_path_that_label_studio_does_not_serve_may_be_one_on_a_disk(web: Web) -> None:
    web.label_studio.answers["/datasets/cat.png"] = reply(b"", 404)
    with pytest.raises(ImageUnreadable) as caught:
        web.fetcher().fetch("/datasets/cat.png", 1)
    assert "path on a disk" in caught.value.remedy


def test_upload_below_a_sub_path_is_fetched_with_the_token(web: Web) -> None:
    web.label_studio.answers["/data/upload/1/x.png"] = reply()
    it = web.fetcher(hostnames=("https://host.example.com/labelstudio",))
    assert it.fetch("/labelstudio/data/upload/1/x.png", 1) == IMAGE
    assert it.fetch("https://host.example.com/labelstudio/data/upload/1/x.png", 1) == IMAGE
    assert web.label_studio.tokens() == ["Token secret-token"] * 2
