"""`pt4al start` while its database, its queue or its disk is away: it waits, says so, and continues by itself."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pytest
import requests

from pt4al_backend.demo import databases
from tests.support.backend import SECONDS, Backend
from tests.support.bodies import setup
from tests.support.servers import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Nobody:
    """A Label Studio that is not there."""

    url = "http://127.0.0.1:9"
    token = "0123456789abcdef0123456789abcdef01234567"


def backend_of(folder: Path, **environment: str) -> Backend:
    nobody: Any = Nobody()
    return Backend(folder, nobody, PT4AL_POLL_SECONDS="1", **environment)


def health(backend: Backend) -> int:
    try:
        return requests.get(f"{backend.url}/health", timeout=30).status_code
    except requests.RequestException:
        return 0


def wait_for_health(backend: Backend, status: int) -> None:
    wait_until(lambda: health(backend) == status, SECONDS, f"/health answers {status}")


def connect(backend: Backend) -> None:
    """Connects project 3; returns once a worker has looked at it, and found no Label Studio."""
    assert backend.post("/setup", json=setup()).status_code == 200
    backend.wait_for(3, phase="blocked")
    assert "does not answer" in backend.status(3)["error"]["message"]


def kill_children(backend: Backend) -> None:
    for child in psutil.Process(backend.both.pid).children():
        os.kill(child.pid, signal.SIGKILL)


def end_of(starting: Thread) -> None:
    starting.join(SECONDS)
    assert not starting.is_alive()


def complaints(backend: Backend) -> int:
    return backend.both.output().count("cannot be used (")


@pytest.fixture
def database() -> Iterator[databases.PostgreSQL]:
    if databases.postgresql_bin() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    server = databases.PostgreSQL()
    yield server
    server.remove()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[databases.Redis]:
    if shutil.which("redis-server") is None:
        pytest.skip("Redis is not installed: apt-get install redis-server")
    server = databases.Redis(tmp_path)
    yield server
    server.stop()


def test_backend_waits_for_its_database_at_boot_and_later(database: databases.PostgreSQL, tmp_path: Path) -> None:
    with backend_of(tmp_path / "backend", PT4AL_DATABASE_URL=database.url) as backend:
        starting = Thread(target=backend.both.start)  # which returns once /health says that it is up
        starting.start()
        wait_for_health(backend, 503)
        database.start()
        end_of(starting)
        connect(backend)

        database.stop()
        page = f"{backend.url}/api/projects/3"
        wait_until(lambda: requests.get(page, timeout=30).status_code == 503, SECONDS, "the page says that the state is away")
        assert health(backend) == 200
        kill_children(backend)
        wait_until(lambda: complaints(backend) >= 4, SECONDS, "web process and worker wait for it again")
        wait_for_health(backend, 503)
        database.start()
        wait_for_health(backend, 200)
        connect(backend)
        assert complaints(backend) < 12, backend.both.output()


def test_backend_waits_for_redis_and_the_page_says_so(redis: databases.Redis, tmp_path: Path) -> None:
    with backend_of(tmp_path / "backend", PT4AL_REDIS_URL=redis.url) as backend:
        backend.both.start()
        wait_for_health(backend, 200)
        assert backend.post("/setup", json=setup()).status_code == 503
        error = backend.wait_for(3, phase="blocked")["error"]
        assert "The work queue does not answer" in error["message"]
        assert "PT4AL_REDIS_URL" in error["remedy"]
        redis.start()
        connect(backend)
        before = len(backend.both.output())
        redis.stop()
        wait_until(lambda: "queue" in backend.status(3)["error"]["message"], SECONDS, "the page shows the outage")
        wait_until(lambda: backend.both.output().count("The queue cannot be used (") >= 2, SECONDS, "the worker waits")
        redis.start()
        connect(backend)
        assert len(backend.both.output()) - before < 20_000, backend.both.output()[before:]


def test_backend_that_started_on_a_read_only_disk_recovers(small_disk: Path, tmp_path: Path) -> None:
    (small_disk / "data").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with backend_of(tmp_path / "backend", PT4AL_DATA_DIR=str(small_disk / "data")) as backend:
        starting = Thread(target=backend.both.start)  # which returns once /health says that it is up
        starting.start()
        wait_for_health(backend, 503)
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
        end_of(starting)
        connect(backend)
