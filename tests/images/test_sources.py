"""Stores of images: what a listing holds, and what a store's refusal means."""

import tracemalloc
from collections.abc import Iterator

import pytest

from pt4al_backend.images.sources import Remote, remote
from pt4al_backend.images.sources.base import image_suffixes
from pt4al_backend.images.sources.failures import of_store
from pt4al_backend.images.sources.image_store import ImageStore, Note

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
