"""Finished jobs in an object store: a host gets a whole one or none, and what was altered is noticed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec  # type: ignore[import-untyped]
import pytest

from pt4al_backend import artefacts
from pt4al_backend.errors import ConfigError, StoreAway, StoreCorrupt
from pt4al_backend.jobs.folder import CHECKPOINT, RESULT
from pt4al_backend.jobs.object_store import ObjectStore
from pt4al_backend.jobs.run import SharingRunner
from pt4al_backend.jobs.shared_jobs import COPY, SHARED, SharedJobs
from tests.support.bucket import ENVIRONMENT, S3Server, s3_server
from tests.support.stub_server import Reply, Request, stub_server

NAME = "projects/3/learn-1"


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    for package in ("s3fs", "moto"):
        pytest.importorskip(package, reason=f"needs {package}, of the extras s3 and dev")
    with s3_server() as running:
        yield running


@pytest.fixture
def s3(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    server.make("models", {})
    yield "s3://models"
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture
def folder_url(tmp_path: Path) -> str:
    """An empty store on a common disk."""
    return f"file://{tmp_path}/store"


@pytest.fixture(params=["file", "s3"])
def url(request: pytest.FixtureRequest, folder_url: str) -> str:
    """An empty store of each kind."""
    place: str = folder_url if request.param == "file" else request.getfixturevalue("s3") + "/a prefix"
    return place


def finished(host: Path, text: str = "weights", name: str = NAME) -> Path:
    """A job that a host has finished, with a log that is its own."""
    with artefacts.writing(host / name) as folder:
        (folder / "job.json").write_text("{}")
    with artefacts.writing(host / name / RESULT) as folder:
        (folder / artefacts.WEIGHTS).write_text(text)
    (host / name / CHECKPOINT).write_text("half done")
    return host / name


def weights(host: Path) -> str:
    return (host / NAME / RESULT / artefacts.WEIGHTS).read_text()


def objects(url: str) -> list[str]:
    files, base = fsspec.core.url_to_fs(url, use_listings_cache=False)
    return sorted(files.find(base))


def put(url: str, path: str, data: bytes) -> None:
    files, _ = fsspec.core.url_to_fs(url, use_listings_cache=False)
    files.pipe_file(path, data)


def test_other_host_gets_the_finished_job_and_nothing_half_done(url: str, tmp_path: Path) -> None:
    finished(tmp_path / "a")
    SharedJobs(url, tmp_path / "a").push(NAME)
    SharedJobs(url, tmp_path / "b").exchange(NAME)
    assert weights(tmp_path / "b") == "weights"
    assert artefacts.is_complete(tmp_path / "b" / NAME)
    assert artefacts.is_complete(tmp_path / "b" / NAME / RESULT)
    assert not (tmp_path / "b" / NAME / CHECKPOINT).exists()


def test_job_that_another_host_did_again_replaces_the_copy_and_the_old_objects_go(url: str, tmp_path: Path) -> None:
    a, b = SharedJobs(url, tmp_path / "a"), SharedJobs(url, tmp_path / "b")
    finished(tmp_path / "a", "first")
    a.push(NAME)
    count = len(objects(url))
    finished(tmp_path / "b", "second")
    b.push(NAME)
    a.exchange(NAME)
    assert weights(tmp_path / "a") == "second"
    assert len(objects(url)) == count


def test_damaged_copy_is_fetched_again(folder_url: str, tmp_path: Path) -> None:
    folder = finished(tmp_path / "a")
    store = SharedJobs(folder_url, tmp_path / "a")
    store.push(NAME)
    (folder / RESULT / artefacts.WEIGHTS).write_text("damaged")
    store.exchange(NAME)
    assert weights(tmp_path / "a") == "weights"


@pytest.mark.parametrize("damage", [b"", b"weightz"], ids=["truncated", "altered"])
def test_altered_object_is_refused_and_its_remedy_works(folder_url: str, tmp_path: Path, damage: bytes) -> None:
    finished(tmp_path / "a")
    a, b = SharedJobs(folder_url, tmp_path / "a"), SharedJobs(folder_url, tmp_path / "b")
    a.push(NAME)
    [path] = [each for each in objects(folder_url) if each.endswith(artefacts.WEIGHTS)]
    put(folder_url, path, damage)
    with pytest.raises(StoreCorrupt, match=r"weights\.pt of projects/3/learn-1 .* not what was uploaded") as refused:
        b.exchange(NAME)
    assert f"Delete all below {NAME} there" in refused.value.remedy
    assert not (tmp_path / "b" / NAME).exists()
    b.forget(NAME)
    a.exchange(NAME)
    b.exchange(NAME)
    assert weights(tmp_path / "b") == "weights"


def test_forgotten_connection_leaves_no_object_and_a_later_one_of_its_project_all(url: str, tmp_path: Path) -> None:
    store, later = SharedJobs(url, tmp_path / "a"), "projects/3-another/learn-1"
    for name in (later, NAME):
        finished(tmp_path / "a", name=name)
        store.push(name)
    store.forget("projects/3")
    store.forget("projects/3")
    left = objects(url)
    assert left
    assert all("/projects/3-another/" in name for name in left)


def test_jobs_that_the_state_names_no_more_go(url: str, tmp_path: Path) -> None:
    store = SharedJobs(url, tmp_path / "a")
    for name in (NAME, "projects/3/learn-2"):
        finished(tmp_path / "a", name=name)
        store.push(name)
    store.keep_only("projects/3", {"projects/3/learn-2"})
    assert {"learn-2"} == {each for path in objects(url) for each in path.split("/") if each.startswith("learn-")}


def test_host_that_has_lost_a_project_deletes_nothing_that_another_one_shared(folder_url: str, tmp_path: Path) -> None:
    def lost() -> None:
        raise InterruptedError

    a, b = (SharedJobs(folder_url, tmp_path / host) for host in "ab")
    for store, host, name in ((a, "a", NAME), (b, "b", "projects/3/learn-2")):
        finished(tmp_path / host, name=name)
        store.push(name)
    count = len(objects(folder_url))
    with pytest.raises(InterruptedError):
        a.exchange_all("projects/3", {NAME}, lost)
    assert len(objects(folder_url)) == count


def test_probe_leaves_nothing(url: str, tmp_path: Path) -> None:
    ObjectStore(url).probe()
    assert objects(url) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from pt4al_backend.jobs import shared_jobs

class Killed(shared_jobs.SharedJobs):
    left = int(sys.argv[3])

    def tick(self):
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1

shared_jobs.AT_ONCE = 1
store = Killed(sys.argv[1], Path(sys.argv[2]))
store.push("projects/3/learn-1", store.tick)
"""


@pytest.mark.parametrize("uploads", [0, 2, 4])
def test_reader_gets_the_old_job_when_the_writer_is_killed_before_any_upload(
    folder_url: str, tmp_path: Path, uploads: int
) -> None:
    finished(tmp_path / "a", "old")
    a, b = SharedJobs(folder_url, tmp_path / "a"), SharedJobs(folder_url, tmp_path / "b")
    a.push(NAME)
    finished(tmp_path / "a", "new")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, folder_url, str(tmp_path / "a"), str(uploads)], env=os.environ, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    b.exchange(NAME)
    assert weights(tmp_path / "b") == "old"
    a.exchange(NAME)  # the writer comes back
    b.exchange(NAME)
    assert weights(tmp_path / "b") == "new"


def test_job_that_another_host_did_again_meanwhile_is_not_undone_by_one_that_was_killed(url: str, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill() -> None:
        raise Killed

    a, b = SharedJobs(url, tmp_path / "a"), SharedJobs(url, tmp_path / "b")
    finished(tmp_path / "a", "of the host that was killed")
    with pytest.raises(Killed):
        a.push(NAME, kill)
    finished(tmp_path / "b", "of the host that took over")
    b.push(NAME)
    a.exchange(NAME)
    assert weights(tmp_path / "a") == "of the host that took over"


def test_job_that_is_replaced_while_it_is_downloaded_arrives_whole(url: str, tmp_path: Path) -> None:
    a, b = SharedJobs(url, tmp_path / "a"), SharedJobs(url, tmp_path / "b")
    finished(tmp_path / "a", "first")
    a.push(NAME)
    replaced: list[str] = []

    def replace() -> None:
        if not replaced:
            replaced.append("second")
            finished(tmp_path / "a", "second")
            a.push(NAME)

    b.exchange(NAME, replace)
    assert weights(tmp_path / "b") == "second"


def test_job_damaged_here_is_not_uploaded(folder_url: str, tmp_path: Path) -> None:
    folder = finished(tmp_path / "a")
    (folder / RESULT / artefacts.WEIGHTS).write_text("damaged")
    with pytest.raises(StoreCorrupt):
        SharedJobs(folder_url, tmp_path / "a").push(NAME)
    assert objects(folder_url) == []


def test_copies_used_longest_ago_go_when_there_is_no_room_and_come_back(folder_url: str, tmp_path: Path) -> None:
    a, b = SharedJobs(folder_url, tmp_path / "a"), SharedJobs(folder_url, tmp_path / "b", most=2500)
    names = [f"projects/{number}/learn-1" for number in range(4)]
    for age, name in enumerate(names):
        finished(tmp_path / "a", "x" * 1000, name)
        a.push(name)
        b.exchange(name)
        if age < 2:  # the third was used a moment ago
            then = time.time() - 100_000 + age
            os.utime(tmp_path / "b" / name / COPY, (then, then))
    assert [name for name in names if (tmp_path / "b" / name).exists()] == names[2:]
    b.exchange(names[0])
    assert (tmp_path / "b" / names[0] / RESULT / artefacts.WEIGHTS).read_text() == "x" * 1000


def test_result_is_shared_before_its_runner_returns_and_a_store_that_is_away_stops_nothing(
    folder_url: str, tmp_path: Path
) -> None:
    class Done:
        def run(self, folder: Path, on_progress: object, on_tick: object) -> Path:
            return folder / RESULT

    for url, is_shared in ((folder_url, True), ("no-such-protocol://store", False)):
        folder = finished(tmp_path / "a")
        runner = SharingRunner(Done(), SharedJobs(url, tmp_path / "a"), tmp_path / "a")
        assert runner.run(folder, print, list) == folder / RESULT
        assert (folder / COPY).exists() == is_shared
    (tmp_path / "a" / NAME).rename(tmp_path / "a" / "projects" / "3" / "comparison")
    SharingRunner(Done(), SharedJobs(folder_url, tmp_path / "a"), tmp_path / "a").run(
        tmp_path / "a" / "projects" / "3" / "comparison", print, list
    )
    assert not any("comparison" in path for path in objects(folder_url))


def test_quiet_look_asks_the_store_nothing(tmp_path: Path) -> None:
    store = SharedJobs(f"file://{tmp_path}/store", tmp_path / "a")
    finished(tmp_path / "a")
    store.exchange_all("projects/3", {NAME})
    shutil.rmtree(tmp_path / "store")
    store.exchange_all("projects/3", {NAME})
    assert not (tmp_path / "store").exists()


def test_store_that_does_not_answer_is_not_asked_again_at_once(tmp_path: Path) -> None:
    asked: list[Request] = []

    def refuse(request: Request) -> Reply:
        asked.append(request)
        return Reply(403, "secret reply")

    finished(tmp_path / "a")
    with stub_server(refuse) as (base, _):
        store = SharedJobs(f"{base}/store", tmp_path / "a")
        for _ in range(2):
            with pytest.raises(StoreAway) as away:
                store.exchange(NAME)
            assert "secret" not in str(away.value)
    assert len(asked) == 1


def test_job_done_again_while_the_store_is_away_replaces_what_was_shared_before(folder_url: str, tmp_path: Path) -> None:
    a, b = SharedJobs(folder_url, tmp_path / "a"), SharedJobs(folder_url, tmp_path / "b")
    finished(tmp_path / "a", "first")
    a.push(NAME)
    finished(tmp_path / "a", "second")
    with pytest.raises(ConfigError):
        SharedJobs("no-such-protocol://store", tmp_path / "a").push(NAME)
    a.exchange(NAME)
    b.exchange(NAME)
    assert weights(tmp_path / "b") == "second"
    finished(tmp_path / "a", "third")
    with pytest.raises(ConfigError):
        SharedJobs("no-such-protocol://store", tmp_path / "a").push(NAME)
    finished(tmp_path / "b", "of the host that took over")
    b.push(NAME)
    a.exchange(NAME)
    assert weights(tmp_path / "a") == "of the host that took over"


@pytest.mark.parametrize(
    ("code", "reason", "remedy"),
    [
        ("ExpiredToken", "it refuses the credentials", "they have not expired"),
        ("TokenRefreshRequired", "it refuses the credentials", "they have not expired"),
        ("RequestTimeTooSkewed", "it refuses the credentials", "this host's clock"),
        ("XMinioStorageFull", "it is full", "Free space there"),
        ("NoSuchBucket", "there is no such bucket", "Make it"),
    ],
)
def test_store_that_refuses_in_the_middle_says_what_to_do(tmp_path: Path, code: str, reason: str, remedy: str) -> None:
    errors = pytest.importorskip("s3fs.errors", reason="needs s3fs, of the extra s3")
    from botocore.exceptions import ClientError

    class Refusing(fsspec.AbstractFileSystem):  # type: ignore[misc]
        def cat_file(self, path: str, **_: object) -> bytes:
            raise FileNotFoundError(path)

        def put(self, *_: object, **__: object) -> None:
            raise errors.translate_boto_error(ClientError({"Error": {"Code": code, "Message": "a-secret"}}, "PutObject"))

    fsspec.register_implementation("refusing", Refusing, clobber=True)
    finished(tmp_path / "a")
    with pytest.raises(StoreAway) as away:
        SharedJobs("refusing://models", tmp_path / "a").push(NAME)
    assert reason in away.value.message
    assert "Work goes on" in away.value.message
    assert remedy in away.value.remedy
    assert "secret" not in str(away.value)


def test_denied_bucket_is_named_without_credentials_anywhere(s3: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    store = SharedJobs("s3://no-such-bucket/prefix", tmp_path / "a")
    finished(tmp_path / "a")
    with pytest.raises(StoreAway, match=r"s3://no-such-bucket/prefix cannot be used now") as away:
        store.push(NAME)
    for secret in (ENVIRONMENT["AWS_SECRET_ACCESS_KEY"], ENVIRONMENT["AWS_ACCESS_KEY_ID"]):
        assert secret not in str(away.value) + caplog.text


def test_store_that_refuses_is_named_without_its_secrets(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finished(tmp_path / "a")
    store = SharedJobs(f"file://{tmp_path}/file/below", tmp_path / "a")
    with pytest.raises(StoreAway, match="cannot be used now"):
        store.push(NAME)


def test_object_that_names_a_file_elsewhere_is_refused(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/store"
    finished(tmp_path / "a")
    SharedJobs(url, tmp_path / "a").push(NAME)
    path = tmp_path / "store" / NAME / SHARED
    path.write_text(path.read_text().replace('"job.json"', '"../../../escaped"'))
    with pytest.raises(StoreCorrupt):
        SharedJobs(url, tmp_path / "b").exchange(NAME)
