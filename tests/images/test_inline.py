"""Images that stand in the task itself, as ``data:`` URIs."""

import base64
from urllib.parse import quote

import pytest

from pt4al_backend.errors import ImageUnreadable
from pt4al_backend.images.inline import is_inline, is_kept, kept, unpacked
from tests.support.image_server import IMAGE, Web

TEXT = base64.b64encode(IMAGE).decode()
URI = f"data:image/png;base64,{TEXT}"


@pytest.mark.parametrize(
    "uri",
    [
        URI,
        f"  {URI}\n",
        URI.replace("data:image/png;base64", "DATA:image/png;BASE64"),
        f"data:;base64,{TEXT}",
        f"data:image/png;charset=utf-8;base64,{TEXT}",
        f"data:image/png;base64,{TEXT.rstrip('=')}",
        f"data:image/png;base64,{quote(TEXT, safe='')}",
        "data:image/png;base64," + " ".join(TEXT[at : at + 20] for at in range(0, len(TEXT), 20)),
        f"data:image/png,{quote(IMAGE)}",
    ],
    ids=["plain", "spaces", "upper case", "no type", "charset", "no padding", "percent", "lines", "not base64"],
)
def test_uri_is_unpacked_as_browsers_do(uri: str) -> None:
    assert is_inline(uri)
    assert unpacked(uri, 10_000) == IMAGE


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("data:image/png;base64", "no comma"),
        ("data:image/png;base64,$$$", "not base64"),
        ("data:image/png;base64,AAAAA", "not base64"),
        (f"data:image/png;base64,{'A' * 40_000}", "longer than 1,000 bytes"),
        (f"data:image/png;base64,{'A' * 3_000}", "longer than 1,000 bytes"),
        (f"data:image/png,{'A' * 1_001}", "longer than 1,000 bytes"),
    ],
)
def test_damaged_or_long_uri_is_refused(uri: str, reason: str) -> None:
    with pytest.raises(ImageUnreadable, match=reason) as caught:
        unpacked(uri, 1000)
    assert len(str(caught.value)) < 300


def test_state_keeps_a_digest() -> None:
    assert kept("/data/upload/1/x.png") == "/data/upload/1/x.png"
    assert len(kept(URI)) < 100
    assert is_kept(kept(URI))
    assert not is_kept(URI)
    assert kept(URI) != kept(URI + "A")
    assert kept(kept(URI)) != kept(URI)  # no task may pass for another's image


def test_fetcher_finds_the_text_again() -> None:
    with Web() as web:
        fetcher = web.fetcher(find=lambda task: URI if task == 7 else "/data/upload/1/x.png")
        assert fetcher.fetch(URI, 1) == IMAGE
        assert fetcher.fetch(kept(URI), 7) == IMAGE
        with pytest.raises(ImageUnreadable, match="just been replaced") as caught:
            fetcher.fetch(kept(URI), 8)
        assert caught.value.transient
        assert web.label_studio.requests == []
