"""Stores of images: what a listing holds, and what a store's refusal means."""

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from pt4al_backend.bench.numbers.local_server import Answer, Handler
from pt4al_backend.images.sources import Files, Remote, remote
from pt4al_backend.images.sources.base import image_suffixes
from pt4al_backend.images.sources.failures import of_store
from pt4al_backend.images.sources.image_store import ImageStore, Note
from tests.support.image_server import Server

OTHERS = 100_000


class Crowded(ImageStore):
    """Holds two images among very many other objects."""

    extra = ""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.versions: dict[str, str] = {}

    def listed(self, url: str, note: Note) -> Iterator[str]:
        yield f"{url}/1.png"
        yield from (f"{url}/{number:060}.json" for number in range(OTHERS))
        yield f"{url}/2.png"

    def beginning(self, url: str, most: int) -> bytes:
        return b""

    def check(self, url: str) -> None:
        pass

    def signed(self, url: str, seconds: int) -> str:
        return url


def test_listing_holds_nothing_of_what_is_no_image_and_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(remote.STORES, "s3", Crowded)
    told: list[str] = []
    image_suffixes()  # loads what is loaded once
    tracemalloc.start()
    found = Remote.find(["s3://lake"], told.append)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.names == ["s3://lake/1.png", "s3://lake/2.png"]
    assert told == ["Left out 100,000 objects whose names do not end as an image's do."]
    assert held < 10 * OTHERS


def test_clock_that_is_wrong_is_not_taken_for_wrong_credentials() -> None:
    class Answer(Exception):
        response = {"Error": {"Code": "RequestTimeTooSkewed"}}  # noqa: RUF012 - as botocore has it

    error = PermissionError("as s3fs says")
    error.__cause__ = Answer()
    said = of_store("s3://lake", error)
    assert "clock is wrong (RequestTimeTooSkewed)" in said.message
    assert "NTP" in said.remedy
    assert "AWS_SECRET" not in said.remedy


def test_file_that_is_written_again_has_changed(tmp_path: Path) -> None:
    for name in ("1.png", "2.png"):
        (tmp_path / name).write_bytes(b"before")
    source = Files.find([str(tmp_path)])
    written = tmp_path / "1.png"
    before = written.stat().st_mtime_ns
    written.write_bytes(b"after!")  # as many bytes
    os.utime(written, ns=(before + 1, before + 1))
    changed = [name for name in source.names if source.has_changed(source.versions[name], source.read_version(name, 9)[1])]
    assert changed == [str(written)]


@pytest.mark.parametrize(
    ("modified", "has_changed"),
    [
        ("Mon, 30 Nov 2026 12:00:00 GMT", False),
        ("Mon, 30 Nov 2026 12:00:02 GMT", True),
        ("as it is sent", False),
        ("any time", False),
        ("", False),
    ],
)
def test_file_of_a_web_server_has_changed_if_it_was_modified_after_the_listing(modified: str, has_changed: bool) -> None:
    pytest.importorskip("aiohttp", reason="needs the extra http")
    listed, sent = "Mon, 30 Nov 2026 12:00:01 GMT", "Mon, 30 Nov 2026 12:00:09 GMT"  # this machine's clock says what it likes
    with Server() as server:
        server.answers["/lake/"] = dated(listed, b'<a href="1.png">', Content_Type="text/html")
        server.answers["/lake/1.png"] = dated(sent, b"image", Last_Modified=sent if modified == "as it is sent" else modified)
        source = Remote.find([f"{server.url}/lake"], lambda _: None)
        name = f"{server.url}/lake/1.png"
        data, version = source.read_version(name, 100)
        assert data == b"image"
        assert source.has_changed(source.versions[name], version) is has_changed


def dated(date: str, body: bytes, **headers: str) -> Answer:
    """An answer of a server with a clock of its own."""

    def answer(handler: Handler) -> None:
        handler.send_response_only(200)
        for name, value in {"Date": date, "Content_Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer
