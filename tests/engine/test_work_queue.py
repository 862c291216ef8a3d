"""The queue between web and worker, on SQLite and on a real Redis: a request is handled, in another process too."""

import json
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huey.registry import Message

from pt4al_backend.config import ServerSettings
from pt4al_backend.demo import databases
from pt4al_backend.engine.work_queue import WorkQueue
from pt4al_backend.errors import ConfigError
from tests.support.servers import wait_until

WORKER = """
import sys
from pathlib import Path
from pt4al_backend.engine.work_queue import WorkQueue
from pt4al_backend.config import ServerSettings

folder, redis_url = Path(sys.argv[1]), sys.argv[2]

def work(project_id, train):
    with (folder / "worked").open("a") as file:
        file.write(f"{project_id} {train}\\n")
    if project_id == 13:
        raise RuntimeError("a project that fails")

WorkQueue(ServerSettings(data_dir=folder, redis_url=redis_url, poll_seconds=0.2)).consume(work, lambda: [99])
"""


@pytest.fixture(params=["sqlite", "redis"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> ServerSettings:
    redis_url = request.getfixturevalue("redis_url") if request.param == "redis" else ""
    return ServerSettings(data_dir=tmp_path, redis_url=redis_url)


@pytest.fixture
def worker(settings: ServerSettings, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path), settings.redis_url])
    yield process
    process.kill()
    process.wait()


def worked(folder: Path) -> list[str]:
    path = folder / "worked"
    return path.read_text().splitlines() if path.exists() else []


def test_requests_wait_for_a_worker(settings: ServerSettings, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    queue = WorkQueue(settings)
    queue.request(7)
    storage = queue._huey.storage
    ours = next(read for read in map(json.loads, map(bytes, storage.enqueued_items())) if read["args"][0] == 7)
    storage.enqueue(json.dumps({**ours, "id": "8 train", "args": [8, True]}).encode())  # as earlier versions did
    assert queue.waiting() == 2
    request.getfixturevalue("worker")
    wait_until(lambda: {"7 False", "8 True"} <= set(worked(tmp_path)), 30, "both requests are worked on")


@pytest.mark.usefixtures("worker")
def test_failing_request_does_not_stop_the_others(settings: ServerSettings, tmp_path: Path) -> None:
    queue = WorkQueue(settings)
    queue.request(13)
    wait_until(lambda: "13 False" in worked(tmp_path), 30, "the failing request is worked on")
    queue.request(14)
    wait_until(lambda: "14 False" in worked(tmp_path), 30, "the next one is, too")


@pytest.mark.usefixtures("worker")
def test_poll_requests_every_project(tmp_path: Path) -> None:
    wait_until(lambda: worked(tmp_path).count("99 False") >= 3, 30, "the poll has come by three times")


def test_worker_ends_on_sigterm(worker: subprocess.Popen[bytes], tmp_path: Path) -> None:
    wait_until(lambda: worked(tmp_path), 30, "the worker works")
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.wait(15) is not None


class Trap:
    """Creates a file when it is unpickled, as hostile messages do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


def test_foreign_messages_are_dropped_and_run_nothing(
    settings: ServerSettings, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Those of an earlier version, which were pickled, and those of whoever can write to the queue."""
    name = "pt4al_backend.engine.work_queue.reconcile"
    old = Message("1", name, None, 0, 0, None, (5, False), {})
    wrong = [{}, [], "x", {"id": "1", "name": "os.system", "args": [5, False]}, {"id": "1", "name": name, "args": ["5", False]}]
    queue = WorkQueue(settings)
    storage = queue._huey.storage
    for message in (pickle.dumps(old), pickle.dumps(Trap(tmp_path / "trapped")), b"", b"\xff", b"[" * 900, b"1" * 100_000):
        storage.enqueue(message)
    for each in wrong:
        storage.enqueue(json.dumps(each).encode())
    queue.request(7)
    request.getfixturevalue("worker")
    wait_until(lambda: "7 False" in worked(tmp_path), 30, "the request behind them is worked on")
    assert not (tmp_path / "trapped").exists()
    assert not [line for line in worked(tmp_path) if line.startswith("5")]


def test_request_is_worked_on_whatever_others_wrote_beside_it(
    settings: ServerSettings, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    queue = WorkQueue(settings)
    for key in queue._huey._revoke_keys(queue._reconcile.s(7, False)):
        queue._huey.storage.put_data(key, b"no message")
    queue.request(7)
    request.getfixturevalue("worker")
    wait_until(lambda: "7 False" in worked(tmp_path), 30, "the request is worked on")


def test_messages_are_json(settings: ServerSettings) -> None:
    queue = WorkQueue(settings)
    queue.request(7)
    read = [json.loads(bytes(message)) for message in queue._huey.storage.enqueued_items()]
    assert [7, False] in [message["args"] for message in read]


def test_redis_that_is_down_costs_one_line_and_work_resumes(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:
        with databases.redis(tmp_path) as url:
            command = [sys.executable, "-c", f"import logging; logging.basicConfig(level='INFO')\n{WORKER}", str(tmp_path), url]
            process = subprocess.Popen(command, stderr=log)
            wait_until(lambda: worked(tmp_path), 30, "the worker works")
        try:
            wait_until(lambda: "The queue cannot be used" in (tmp_path / "log").read_text(), 30, "the outage is logged")
            before = len(worked(tmp_path))
            with databases.redis(tmp_path, port=int(url.rpartition(":")[2].partition("/")[0])):
                wait_until(lambda: len(worked(tmp_path)) > before, 30, "the worker works again")
        finally:
            process.kill()
            process.wait()
    text = (tmp_path / "log").read_text()
    assert "Traceback" not in text.split("The queue answers again.")[0]
    assert text.count("The queue cannot be used") <= 2


def test_request_that_waits_is_not_queued_again(settings: ServerSettings) -> None:
    queue = WorkQueue(settings)
    before = queue.waiting()
    for _ in range(50):
        queue.request(701)
        queue.request(702)
    assert queue.waiting() == before + 2


def test_process_without_work_only_requests(settings: ServerSettings) -> None:
    queue = WorkQueue(settings)
    queue.request(1)
    assert queue.waiting() >= 1


def test_redis_url_without_its_client_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)  # as if it were not installed
    with pytest.raises(ConfigError, match=r"pip install 'pt4al-backend\[redis\]'"):
        WorkQueue(ServerSettings(data_dir=tmp_path, redis_url="redis://127.0.0.1:1/0"))


@pytest.mark.parametrize("harm", ["deleted", "overwritten"])
def test_damaged_queue_file_is_made_again(tmp_path: Path, harm: str) -> None:
    settings = ServerSettings(data_dir=tmp_path)
    queue = WorkQueue(settings)
    queue.request(7)
    path = tmp_path / "queue.sqlite3"
    if harm == "deleted":
        path.unlink()
    else:
        for each in tmp_path.glob("queue.sqlite3*"):
            each.write_bytes(b"\x5a" * 8192)
    other = WorkQueue(settings)
    other.request(8)
    wait_until(lambda: _can_request(queue), 30, "a process that had the old file open uses the new one")
    assert other.waiting() == 2


def _can_request(queue: WorkQueue) -> bool:
    try:
        queue.request(9)
    except sqlite3.Error:
        return False
    return True


def test_queue_opens_when_its_disk_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"")  # no folder can be made here
    queue = WorkQueue(ServerSettings(data_dir=tmp_path / "data"))
    with pytest.raises(sqlite3.OperationalError, match="cannot be written"):
        queue.request(7)
    (tmp_path / "data").unlink()
    queue.request(7)
    assert queue.waiting() == 1
