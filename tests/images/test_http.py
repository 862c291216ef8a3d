import gzip
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pt4al_backend.errors import ConfigError, ImageUnreadable
from tests.support.image_server import IMAGE, Handler, Web, raw, redirect, reply


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as web:
        yield web


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]"])
def test_private_hosts_get_no_request(web: Web, host: str) -> None:
    with pytest.raises(ImageUnreadable, match="private address") as caught:
        web.fetcher(image_hosts="").fetch(f"http://{host}:{web.elsewhere.port}/x.png", 1)
    assert "PT4AL_IMAGE_HOSTS" in caught.value.remedy
    assert web.elsewhere.connections == set()


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "172.16.5.5",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::",
        "::7f00:1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fec0::1",
    ],
)
def test_one_private_address_among_public_ones_is_enough(web: Web, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[Any] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(0, 1, 6, "", (a, 80)) for a in ("8.8.8.8", address)])
    monkeypatch.setattr(socket.socket, "connect", lambda _, to: connected.append(to))
    with pytest.raises(ImageUnreadable, match="private address"):
        web.fetcher().fetch("http://images.example.com/x.png", 1)
    assert connected == []


def test_the_address_that_was_checked_is_the_one_connected_to(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["8.8.8.8", "127.0.0.1"])  # a name that resolves to something else when asked again
    connected: list[Any] = []

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        address = next(answers) if host == "images.example.com" else host
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def refuse(_: socket.socket, address: Any) -> None:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(ImageUnreadable, match="refuses connections"):
        web.fetcher().fetch("http://images.example.com/x.png", 1)
    assert connected == [("8.8.8.8", 80)]


def test_redirects_to_private_hosts_are_not_followed(web: Web) -> None:
    web.label_studio.answers["/data/x.png"] = redirect(f"{web.elsewhere.url}/x.png")
    with pytest.raises(ImageUnreadable, match="private address"):
        web.fetcher(image_hosts="").fetch("/data/x.png", 1)
    assert web.elsewhere.connections == set()


def test_a_connection_kept_for_label_studio_serves_no_one_elses_redirect(web: Web) -> None:
    web.label_studio.answers["/data/x.png"] = reply()
    web.elsewhere.answers["/x.png"] = redirect(f"{web.label_studio.url}/data/x.png")
    it = web.fetcher(image_hosts=f"127.0.0.1:{web.elsewhere.port}")
    it.fetch("/data/x.png", 1)
    with pytest.raises(ImageUnreadable, match="private address"):
        it.fetch(f"{web.elsewhere.url}/x.png", 2)
    assert len(web.label_studio.requests) == 1


OK = b"HTTP/1.1 200 OK\r\n"
LENGTH, CHUNKED = OK + b"Content-Length: 1000\r\n\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n"
STALLS = {  # what is sent at once, and what is dripped for ever after it
    "nothing": (b"", b""),
    "headers": (OK, b"X-More: 1\r\n"),
    "stops": (LENGTH + b"x" * 10, b""),
    "body": (LENGTH, b"x"),
    "body until the end": (b"HTTP/1.0 200 OK\r\n\r\n", b"x"),
    "chunks": (CHUNKED, b"1\r\nx\r\n"),
}


@pytest.mark.parametrize("kind", STALLS)
@pytest.mark.timeout(20)
def test_a_stalling_host_is_given_up(web: Web, kind: str) -> None:
    start, drip = STALLS[kind]

    def stall(handler: Handler) -> None:
        raw(start)(handler)
        web.elsewhere.drip(drip)(handler)

    web.elsewhere.answers["/x"] = stall
    with pytest.raises(ImageUnreadable, match="in time") as caught:
        web.fetcher(image_seconds=0.3).fetch(f"{web.elsewhere.url}/x", 1)
    assert caught.value.transient


@pytest.mark.timeout(20)
def test_redirects_share_one_time_limit(web: Web) -> None:
    late = threading.Event()

    def slow(handler: Handler) -> None:
        late.wait(0.3)
        redirect("/x")(handler)

    web.elsewhere.answers["/x"] = slow
    with pytest.raises(ImageUnreadable, match="in time"):
        web.fetcher(image_seconds=0.8).fetch(f"{web.elsewhere.url}/x", 1)


@pytest.mark.timeout(20)
def test_a_look_up_that_hangs_is_given_up(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(15) and [])
    with pytest.raises(ImageUnreadable, match="in time"):
        web.fetcher(image_seconds=0.3).fetch("http://images.example.com/x.png", 1)
    over.set()


@pytest.mark.parametrize("announced", [True, False])
def test_more_bytes_than_allowed_are_refused(web: Web, announced: bool) -> None:
    head = OK + (b"Content-Length: 101\r\n" if announced else b"") + b"\r\n"
    web.elsewhere.answers |= {"/long": raw(head, b"" if announced else b"x" * 101), "/fits": reply(b"x" * 100)}
    it = web.fetcher(image_max_bytes=100)
    assert len(it.fetch(f"{web.elsewhere.url}/fits", 1)) == 100
    with pytest.raises(ImageUnreadable, match="longer than 100 bytes") as caught:
        it.fetch(f"{web.elsewhere.url}/long", 1)
    assert "PT4AL_IMAGE_MAX_BYTES" in caught.value.remedy


@pytest.mark.timeout(20)
def test_an_endless_body_is_cut_off(web: Web) -> None:
    ended = threading.Event()

    def endless(handler: Handler) -> None:
        raw(CHUNKED)(handler)
        try:
            while True:
                handler.wfile.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        finally:
            ended.set()

    web.elsewhere.answers["/x"] = endless
    with pytest.raises(ImageUnreadable, match="longer than"):
        web.fetcher(image_max_bytes=200_000).fetch(f"{web.elsewhere.url}/x", 1)
    assert ended.wait(10)  # the connection was closed, not left to flow


@pytest.mark.parametrize("coding", ["", "identity", "aws-chunked", "utf-8", "AWS-CHUNKED, identity"])
def test_content_codings_that_are_none_are_ignored(web: Web, coding: str) -> None:
    web.elsewhere.answers["/x"] = reply(Content_Encoding=coding)
    assert web.fetcher().fetch(f"{web.elsewhere.url}/x", 1) == IMAGE
    assert web.elsewhere.requests[0][1]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", "aws-chunked, gzip"])
def test_gzip_is_unpacked(web: Web, coding: str) -> None:
    web.elsewhere.answers["/x"] = reply(gzip.compress(IMAGE), Content_Encoding=coding)
    assert web.fetcher().fetch(f"{web.elsewhere.url}/x", 1) == IMAGE


def test_gzip_that_unpacks_to_more_than_allowed_is_refused(web: Web) -> None:
    web.elsewhere.answers["/x"] = reply(gzip.compress(bytes(1_000_000)), Content_Encoding="gzip")
    with pytest.raises(ImageUnreadable, match="longer than 10,000 bytes"):
        web.fetcher(image_max_bytes=10_000).fetch(f"{web.elsewhere.url}/x", 1)


def test_damaged_gzip_is_refused_with_a_remedy(web: Web) -> None:
    web.elsewhere.answers["/y"] = reply(b"no gzip at all", Content_Encoding="gzip")
    with pytest.raises(ImageUnreadable, match="cannot be unpacked") as caught:
        web.fetcher().fetch(f"{web.elsewhere.url}/y", 1)
    assert "Content-Encoding" in caught.value.remedy


def test_one_connection_serves_many_images(web: Web) -> None:
    web.label_studio.answers |= {"/data/x.png": reply(), "/data/gone.png": reply(b"not here", 404)}
    it = web.fetcher()
    for _ in range(5):
        it.fetch("/data/x.png", 1)
        with pytest.raises(ImageUnreadable):
            it.fetch("/data/gone.png", 1)
    assert len(web.label_studio.connections) == 1


@pytest.mark.parametrize("close", [{"Connection": "close"}, {}])
def test_a_connection_that_the_server_closed_is_replaced(web: Web, close: dict[str, str]) -> None:
    def once(handler: Handler) -> None:
        reply(**close)(handler)
        handler.close_connection = True

    web.label_studio.answers["/data/x.png"] = once
    it = web.fetcher()
    assert [it.fetch("/data/x.png", 1) for _ in range(3)] == [IMAGE] * 3
    assert len(web.label_studio.connections) == 3


def test_threads_share_a_fetcher(web: Web) -> None:
    web.label_studio.answers["/data/x"] = lambda handler: reply(handler.path.encode())(handler)
    it = web.fetcher()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: it.fetch(f"/data/x?{n}", n), range(400)))
    assert found == [f"/data/x?{n}".encode() for n in range(400)]
    assert len(web.label_studio.connections) <= 8


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_https_checks_the_certificate_and_the_name(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command = ["openssl", "req", "-x509", *curve, *subject, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    secure = web.server(context)
    secure.answers |= {"/x": reply(), "/stalls": secure.drip(b"x")}
    url = f"https://localhost:{secure.port}"

    with pytest.raises(ImageUnreadable, match="not trusted"):
        web.fetcher(image_hosts="localhost").fetch(f"{url}/x", 1)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    trusting = web.fetcher(image_hosts="localhost,127.0.0.1", image_seconds=1)
    assert [trusting.fetch(f"{url}/x", 1) for _ in range(2)] == [IMAGE] * 2
    with pytest.raises(ImageUnreadable, match="not trusted"):
        trusting.fetch(f"https://127.0.0.1:{secure.port}/x", 1)
    with pytest.raises(ImageUnreadable, match="in time"):
        trusting.fetch(f"{url}/stalls", 1)


def test_a_certificate_bundle_that_is_missing_is_named(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/bundle.pem")
    with pytest.raises(ConfigError, match=r"/nowhere/bundle\.pem"):
        web.fetcher()
