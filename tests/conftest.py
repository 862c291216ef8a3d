"""Fixtures that tests of several folders share."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pt4al_backend.settings import ProjectSettings, Settings
from tests import databases


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine that runs the tests reaches them."""
    names = {f"PT4AL_{name}".upper() for name in (*Settings.model_fields, *ProjectSettings.model_fields)}
    for name in (*names, "LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY", "BASIC_AUTH_USER", "BASIC_AUTH_PASS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def postgresql_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running PostgreSQL, shared by the session."""
    if databases.postgresql_bin() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with databases.postgresql(tmp_path_factory.mktemp("postgresql")) as url:
        yield url


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running Redis, shared by the session."""
    if shutil.which("redis-server") is None:
        pytest.skip("Redis is not installed: apt-get install redis-server")
    with databases.redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a server whose state lies in the test's own folder."""
    return Settings(data_dir=tmp_path / "data", device="cpu", pretrained="off")
