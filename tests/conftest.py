"""Fixtures that tests of several folders share."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from pt4al_backend.config import ServerSettings, server_settings
from pt4al_backend.demo import databases
from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.state.store import Store
from tests.support import disks
from tests.support.servers import LabelStudioServer, data_of_first_start, label_studio_command

REQUIRED = "REQUIRE_LABEL_STUDIO"  # no setting of the backend: "1" fails what would be skipped without a Label Studio

# Read when the first test module imports PyTorch: small networks, on a machine that runs tests side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes depends on the machine, and on what it is the first to import.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine that runs the tests reaches them."""
    for name in [*os.environ]:
        if name.upper().startswith(("PT4AL_", "LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY", "BASIC_AUTH_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PT4AL_ENCODER", "resnet18")  # weights that happen to be on this machine change nothing


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A running PostgreSQL, shared by the session."""
    pytest.importorskip("psycopg", reason="needs the extra postgresql")
    if databases.postgresql_bin() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with databases.postgresql() as url:
        yield url


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running Redis, shared by the session."""
    pytest.importorskip("redis", reason="needs the extra redis")
    if shutil.which("redis-server") is None:
        pytest.skip("Redis is not installed: apt-get install redis-server")
    with databases.redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of its own, with room for 64 megabytes."""
    with disks.mounted(megabytes=64) as disk:
        yield disk


@pytest.fixture
def settings(tmp_path: Path) -> ServerSettings:
    """Settings of a server whose state lies in the test's own folder."""
    return ServerSettings(data_dir=tmp_path / "data", device="cpu", pretrained="off")


@pytest.fixture(scope="session")
def empty_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated state, made once: the migrations have tests of their own."""
    folder = tmp_path_factory.mktemp("empty-state")
    Store.open(server_settings(data_dir=folder)).close()
    return folder / "state.sqlite3"


@pytest.fixture(scope="session")
def label_studio_template() -> Path:
    """Data of a Label Studio that has run once, so that those which start from it need no migrations."""
    command = label_studio_command()
    if not command.exists():
        reason = f"{command} does not exist: `make setup` installs Label Studio"
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return data_of_first_start()


@pytest.fixture(scope="session")
def label_studio(label_studio_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudioServer]:
    """The Label Studio that the tests of a session share; each makes its own project."""
    server = LabelStudioServer(tmp_path_factory.mktemp("label-studio"), template=label_studio_template)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_label_studio(label_studio_template: Path, tmp_path: Path) -> Iterator[Callable[..., LabelStudioServer]]:
    """Makes Label Studios that a test may stop, kill and set up differently; keyword arguments are environment variables."""
    servers: list[LabelStudioServer] = []

    def make(**settings: str) -> LabelStudioServer:
        server = LabelStudioServer(tmp_path / f"label-studio-{len(servers)}", template=label_studio_template, settings=settings)
        servers.append(server)
        server.start()
        return server

    yield make
    for server in servers:
        server.kill()


@pytest.fixture(scope="session")
def lead(label_studio: LabelStudioServer) -> Annotator:
    """The admin of the shared Label Studio, logged in."""
    annotator = Annotator(label_studio.url, label_studio.email, label_studio.password)
    annotator.log_in()
    return annotator
