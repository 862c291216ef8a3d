"""Ranking what a web server lists: downwards only, no more than is wanted, and nothing of another host."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pt4al_backend.cli import app
from pt4al_backend.ops import rank_files
from tests.support.bucket import picture
from tests.support.by_number import ByNumber

pytest.importorskip("aiohttp", reason="needs the extra http")


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a client whose images are ranked by their number."""
    settings = {"PT4AL_DATA_DIR": str(tmp_path / "data"), "PT4AL_DEVICE": "cpu", "PT4AL_PRETRAINED": "off", "PT4AL_WIDTH": "8"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_files, "runner_of", lambda _: ByNumber())


def rank(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["rank", *arguments, "--out", str(tmp_path / "tasks.json")])


def tasks_in(tmp_path: Path) -> list[dict[str, Any]]:
    return [each["data"] for each in json.loads((tmp_path / "tasks.json").read_text())]


@pytest.mark.usefixtures("client")
def test_listings_of_a_web_server_are_followed_downwards_only(tmp_path: Path) -> None:
    for place, name in enumerate(("lake/a/1.png", "lake/a/b c/2.png", "lake/3.png", "beside/4.png")):
        (tmp_path / "www" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "www" / name).write_bytes(picture(place))
    (tmp_path / "www" / "lake" / "a" / "notes.txt").write_text("no image")
    with _listing(tmp_path / "www") as url:
        result = rank(tmp_path, f"{url}/lake/")
        assert result.exit_code == 0, result.output
        assert {each["image"] for each in tasks_in(tmp_path)} == {
            f"{url}/lake/{name}" for name in ("a/1.png", "a/b%20c/2.png", "3.png")
        }
        missing = rank(tmp_path, f"{url}/nothing")
        assert missing.exit_code == 1
        assert "There is nothing at" in missing.stderr


@pytest.mark.usefixtures("client")
def test_web_server_sends_nobody_elsewhere_and_no_more_than_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PT4AL_IMAGE_MAX_BYTES", "1000000")
    asked, sent = [], []

    class Hostile(BaseHTTPRequestHandler):
        """Lists two images, one that is elsewhere, one that fails, one that is outside, and one that has no end."""

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            host = self.headers["Host"]
            asked.append((host, self.path))
            names = ("1.png", "2.png", "elsewhere.png", "elsewhere/", "fails.png", "%2e%2e/outside.png", "endless.png")
            if "elsewhere" in self.path:
                return self.answer(302, b"", Location=f"http://localhost:{host.partition(':')[2]}{self.path}")
            if self.path == "/lake/":
                return self.answer(200, "".join(f'<a href="{name}">' for name in names).encode(), Content_Type="text/html")
            if self.path == "/lake/endless.png":
                self.answer(200, b"", Content_Length=str(200 * 2**20))
                with suppress(OSError):
                    for _ in range(200):
                        self.wfile.write(bytes(2**20))
                        sent.append(2**20)
                return None
            is_image = self.path in ("/lake/1.png", "/lake/2.png", "/outside.png")
            return self.answer(200, picture(len(self.path) + ord(self.path[6]))) if is_image else self.answer(500, b"")

        def answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content_Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

    with _served(Hostile) as url:
        result = rank(tmp_path, f"{url}/lake/")
        assert result.exit_code == 0, result.output
        assert {each["image"] for each in tasks_in(tmp_path)} == {f"{url}/lake/1.png", f"{url}/lake/2.png"}
        said = " ".join(result.stderr.split())
        assert f"Skipped {url}/lake/elsewhere.png: The server redirects to another host" in said
        assert f"Skipped {url}/lake/endless.png: The file is longer than 1,000,000 bytes." in said
        assert f"Skipped {url}/lake/fails.png: Its store failed to give it (500)." in said
        assert sum(sent) < 100 * 2**20
        assert not [each for each in asked if each[0].startswith("localhost") or "outside" in each[1]]
        redirected = rank(tmp_path, f"{url}/elsewhere")
        assert redirected.exit_code == 1
        assert "redirects to another host" in redirected.stderr


@pytest.mark.usefixtures("client")
def test_folder_that_is_dead_or_refused_is_named_and_ends_no_listing(tmp_path: Path) -> None:
    class Partly(BaseHTTPRequestHandler):
        """Refuses the parent; below ``open`` it refuses a folder, has lost another one, and fails for a third."""

        statuses = MappingProxyType({"/": 403, "/open/denied/": 403, "/open/gone/": 404, "/open/broken/": 500})

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            names = ("denied/", "gone/", "broken/", "last/", "1.png", "2.png") if self.path == "/open/" else ("3.png",)
            is_image = self.path.endswith(".png")
            body = picture(int(self.path[-5])) if is_image else "".join(f'<a href="{name}">' for name in names).encode()
            self.send_response(self.statuses.get(self.path, 200))
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "image/png" if is_image else "text/html")
            self.end_headers()
            self.wfile.write(body)

    with _served(Partly) as url:
        result = rank(tmp_path, f"{url}/open")
        assert result.exit_code == 0, result.output
        assert {each["image"] for each in tasks_in(tmp_path)} == {
            f"{url}/open/{name}" for name in ("1.png", "2.png", "last/3.png")
        }
        said = " ".join(result.stderr.split())
        for folder, why in (("denied", "refuses access"), ("gone", "nothing"), ("broken", "does not answer (500)")):
            _, _, reason = said.partition(f"Skipped {url}/open/{folder}/ and all below it. ")
            assert why in reason.partition("Skipped")[0]
        refused = rank(tmp_path, url)
        assert refused.exit_code == 1
        assert "refuses access" in refused.stderr


@contextmanager
def _listing(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with _served(partial(Quiet, directory=str(folder))) as url:
        yield url


@contextmanager
def _served(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
