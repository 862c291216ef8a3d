"""The processes that are measured, as an admin starts them: Label Studio, and the backend's web process and worker."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pt4al_backend.demo import servers
from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.demo.servers import Server
from pt4al_backend.errors import PT4ALError

EMAIL = "bench@example.com"


class BenchmarkFailed(PT4ALError):
    """What was to be measured did not come about."""


@contextmanager
def label_studio(command: Path, folder: Path) -> Iterator[Annotator]:
    """Label Studio on SQLite, and its admin, signed in."""
    password = secrets.token_urlsafe(16)
    with _running(servers.LabelStudio(command, folder, EMAIL, password), folder) as server:
        lead = Annotator(server.url, EMAIL, password)
        lead.log_in()
        yield lead


@contextmanager
def backend(folder: Path, label_studio_url: str, token: str) -> Iterator[str]:
    """``pt4al start`` at its defaults, for images that this machine serves; gives its address."""
    settings = {"PT4AL_IMAGE_HOSTS": servers.HOST, "PT4AL_PRETRAINED": "off"}
    with _running(servers.backend(folder, label_studio_url, token, **settings), folder) as server:
        yield server.url


@contextmanager
def _running(server: Server, folder: Path) -> Iterator[Server]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("wb") as lock, server.running(lock):
        yield server
