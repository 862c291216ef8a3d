"""Ranking a bucket before import: what is found, how tasks address it, what bad input gets, and that a killed one goes on."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fsspec
import pytest
import requests
from typer.testing import CliRunner, Result

from pt4al_backend.cli import app
from pt4al_backend.images.sources import Remote
from pt4al_backend.ops import rank_files
from tests.support.bucket import ENVIRONMENT, S3Server, picture, s3_server
from tests.support.by_number import ByNumber
from tests.support.servers import wait_until

pytest.importorskip("s3fs", reason="needs the extra s3")
pytest.importorskip("moto", reason="needs the extra dev")

SECRET = ENVIRONMENT["AWS_SECRET_ACCESS_KEY"]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@pytest.fixture
def bucket(server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """A bucket "lake" of twelve images, and a client's environment."""
    settings = {"PT4AL_DATA_DIR": str(tmp_path / "data"), "PT4AL_DEVICE": "cpu", "PT4AL_PRETRAINED": "off", "PT4AL_WIDTH": "8"}
    for name, value in {**server.environment, **settings}.items():
        monkeypatch.setenv(name, value)
    server.make("lake", {f"photos/{number}.png": picture(number) for number in range(12)})
    return server


@pytest.fixture
def by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_files, "runner_of", lambda _: ByNumber())


def rank(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["rank", *arguments, "--out", str(tmp_path / "tasks.json")])


def tasks_in(tmp_path: Path) -> list[dict[str, Any]]:
    return [each["data"] for each in json.loads((tmp_path / "tasks.json").read_text())]


@pytest.mark.slow
def test_bucket_becomes_tasks_with_storage_urls_best_first(bucket: S3Server, tmp_path: Path) -> None:
    result = rank(tmp_path, "s3://lake/photos", "--epochs", "1")
    assert result.exit_code == 0, result.output
    assert sorted(each["image"] for each in tasks_in(tmp_path)) == sorted(f"s3://lake/photos/{i}.png" for i in range(12))
    assert SECRET not in result.output + (tmp_path / "tasks.json").read_text()
    assert not [*(tmp_path / "data").iterdir()]


def test_best_are_taken_and_the_rest_is_written_beside_them(bucket: S3Server, tmp_path: Path, by_number: None) -> None:
    result = rank(tmp_path, "s3://lake", "--take", "5")
    assert result.exit_code == 0, result.output
    rest = [json.loads(line) for line in (tmp_path / "tasks.rest.jsonl").read_text().splitlines()[1:]]
    taken = [each["image"] for each in tasks_in(tmp_path)]
    assert len(taken) == 5
    assert sorted(taken + [each["name"] for each in rest]) == sorted(f"s3://lake/photos/{i}.png" for i in range(12))
    assert "The other 7 are in" in " ".join(result.stdout.split())
    all_taken = rank(tmp_path, "s3://lake")
    assert all_taken.exit_code == 0
    assert not (tmp_path / "tasks.rest.jsonl").exists()
    assert "tasks.rest.jsonl was deleted" in "".join(all_taken.stderr.split("\n"))


@pytest.mark.usefixtures("by_number")
def test_presigned_urls_are_readable_by_everybody_and_hold_no_secret(bucket: S3Server, tmp_path: Path) -> None:
    result = rank(tmp_path, "s3://lake/photos", "--presign", "2", "--take", "3")
    assert result.exit_code == 0, result.output
    for data in tasks_in(tmp_path):
        assert "X-Amz-Expires=7200" in data["image"]
        assert SECRET not in data["image"]
        assert requests.get(data["image"], timeout=10).content in [picture(number) for number in range(12)]
    assert "X-Amz" not in (tmp_path / "tasks.rest.jsonl").read_text()


@pytest.mark.usefixtures("by_number")
def test_keys_are_addressed_as_they_are_or_encoded_below_a_prefix(bucket: S3Server, tmp_path: Path) -> None:
    bucket.make("lake", {key: picture(place) for place, key in enumerate(("in/a b&#?%.png", "in/[é]*.png", "beside.png"))})
    assert rank(tmp_path, "s3://lake/in/").exit_code == 0
    assert {each["image"] for each in tasks_in(tmp_path)} == {"s3://lake/in/a b&#?%.png", "s3://lake/in/[é]*.png"}
    assert rank(tmp_path, "s3://lake/in", "--url-prefix", "https://cdn.example/x").exit_code == 0
    assert {each["image"] for each in tasks_in(tmp_path)} == {
        "https://cdn.example/x/a%20b%26%23%3F%25.png",
        "https://cdn.example/x/%5B%C3%A9%5D%2A.png",
    }


@pytest.mark.usefixtures("by_number")
def test_images_may_be_named_one_by_one_and_by_patterns(bucket: S3Server, tmp_path: Path) -> None:
    assert rank(tmp_path, "s3://lake/photos/1*.png", "s3://lake/photos/3.png").exit_code == 0
    assert {each["image"] for each in tasks_in(tmp_path)} == {f"s3://lake/photos/{i}.png" for i in (1, 10, 11, 3)}


@pytest.mark.usefixtures("by_number")
def test_unreadable_and_identical_objects_are_left_out_by_name(bucket: S3Server, tmp_path: Path) -> None:
    bucket.put("lake", "photos/broken.png", b"no image")
    bucket.put("lake", "photos/empty.png", b"")
    bucket.put("lake", "photos/same.png", picture(3))
    bucket.put("lake", "photos/notes.txt", b"no image")
    result = rank(tmp_path, "s3://lake/photos")
    assert result.exit_code == 0, result.output
    assert len(tasks_in(tmp_path)) == 12
    assert "Skipped s3://lake/photos/broken.png" in result.stderr
    assert "Skipped s3://lake/photos/empty.png: The image file is empty" in result.stderr
    assert "s3://lake/photos/same.png: its image is identical to that of s3://lake/photos/3.png" in result.stderr
    assert "notes.txt" not in result.stderr


@pytest.mark.parametrize(
    ("url", "what", "remedy"),
    [
        ("s3://nowhere/photos", "There is no bucket 'nowhere' (NoSuchBucket)", "AWS_ENDPOINT_URL"),
        ("s3://lake/nothing", "There is nothing below s3://lake/nothing", "Correct the URL"),
        ("s3://", "names no bucket", "s3://bucket/folder"),
        ("ftp://lake/x", "cannot be read from ftp://", "s3://, gs://"),
        ("s3://key:hidden@lake/x", "password", "environment"),
        ("https://host.example/list?token=hidden", "query", "environment"),
    ],
)
def test_url_that_gives_nothing_is_refused_with_what_to_change(
    bucket: S3Server, tmp_path: Path, url: str, what: str, remedy: str
) -> None:
    result = rank(tmp_path, url)
    assert result.exit_code == 1
    assert what in result.stderr
    assert remedy in result.stderr
    assert "hidden" not in result.output
    assert not (tmp_path / "data" / "rankings").exists()


def test_objects_that_are_no_images_are_counted(bucket: S3Server, tmp_path: Path) -> None:
    bucket.make("lake", {f"{number}.txt": b"no image" for number in range(3)})
    result = rank(tmp_path, "s3://lake")
    assert result.exit_code == 1
    assert "None of 3 objects has the ending of an image below s3://lake" in result.stderr


@pytest.mark.usefixtures("by_number")
def test_objects_beside_the_images_are_counted(bucket: S3Server, tmp_path: Path) -> None:
    for number in range(3):
        bucket.put("lake", f"photos/{number}.txt", b"no image")
    result = rank(tmp_path, "s3://lake")
    assert result.exit_code == 0, result.output
    assert "Left out 3 objects whose names do not end as an image's do." in " ".join(result.stderr.split())


@pytest.mark.usefixtures("by_number")
def test_keys_that_no_file_system_takes_are_read_and_cannot_command_the_terminal(bucket: S3Server, tmp_path: Path) -> None:
    keys = ["/first.png", "a/../b.png", "a//b.png", "q?x=#1 %41.png"]
    bucket.make("lake", {})
    files = fsspec.filesystem("s3", skip_instance_cache=True)  # requests would change some of these
    for place, key in enumerate(keys):
        files.pipe_file(f"lake/{key}", picture(place))
    bucket.put("lake", "\x1b]0;owned\x07.png", b"no image")
    result = rank(tmp_path, "s3://lake")
    assert result.exit_code == 0, result.output
    assert {each["image"] for each in tasks_in(tmp_path)} == {f"s3://lake/{key}" for key in keys}
    assert "Skipped s3://lake/\\x1b]0;owned\\x07.png" in result.stderr
    assert "\x1b]0" not in result.output


@pytest.mark.usefixtures("by_number")
def test_objects_that_vanish_or_change_after_they_were_listed_cost_no_others(
    bucket: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = Remote.find

    def slow(*arguments: Any) -> Remote:
        listed = find(*arguments)
        bucket.delete("lake", "photos/3.png")
        bucket.put("lake", "photos/4.png", picture(99))
        bucket.put("lake", "photos/5.png", b"no image any more")
        return listed

    monkeypatch.setattr(Remote, "find", slow)
    result = rank(tmp_path, "s3://lake")
    assert result.exit_code == 0, result.output
    said = " ".join(result.stderr.split())
    assert "Skipped s3://lake/photos/3.png: It was listed, but is not there any more" in said
    assert "Skipped s3://lake/photos/5.png" in said
    assert {each["image"] for each in tasks_in(tmp_path)} == {f"s3://lake/photos/{i}.png" for i in range(12) if i not in (3, 5)}


def test_wrong_credentials_are_named_without_their_secret(bucket: S3Server, tmp_path: Path) -> None:
    bucket.refuse()
    result = rank(tmp_path, "s3://lake/photos")
    assert result.exit_code == 1
    assert "refuses access to s3://lake/photos (InvalidAccessKeyId)" in result.stderr
    assert "AWS_SECRET_ACCESS_KEY" in result.stderr
    assert SECRET not in result.output


def test_missing_credentials_are_named(bucket: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    result = rank(tmp_path, "s3://lake/photos")
    assert result.exit_code == 1
    assert "NoCredentialsError" in result.stderr
    assert "AWS_ACCESS_KEY_ID" in result.stderr


@pytest.mark.usefixtures("by_number")
def test_denied_folder_is_skipped_and_the_rest_is_ranked(bucket: S3Server, tmp_path: Path) -> None:
    bucket.put("lake", "secret/12.png", picture(12))
    bucket.deny("lake", "secret/")
    result = rank(tmp_path, "s3://lake")
    assert result.exit_code == 0, result.output
    assert len(tasks_in(tmp_path)) == 12
    assert "Skipped s3://lake/secret/12.png: Its store refuses to give it" in " ".join(result.stderr.split())


def test_bucket_that_is_listed_and_gives_nothing_is_refused(bucket: S3Server, tmp_path: Path) -> None:
    bucket.deny("lake", "")
    result = rank(tmp_path, "s3://lake")
    assert result.exit_code == 1
    assert "gives none of the first 12" in result.stderr
    assert "s3:GetObject" in result.stderr
    assert not (tmp_path / "data" / "rankings").exists()


@pytest.mark.skipif(find_spec("gcsfs") is not None, reason="the extra gs is installed")
def test_store_whose_reader_is_not_installed_names_the_extra(bucket: S3Server, tmp_path: Path) -> None:
    result = rank(tmp_path, "gs://lake/photos")
    assert result.exit_code == 1
    assert "pt4al-backend[gs]" in result.stderr


def test_credentials_that_expire_keep_what_was_read(
    bucket: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_number: None
) -> None:
    monkeypatch.setattr("pt4al_backend.ops.rank_files.reader.CHUNK", 4)
    monkeypatch.setattr("pt4al_backend.images.sources.Remote.threads", 1)
    read, seen = Remote.read_version, list[str]()

    def expiring(self: Any, name: str, most: int) -> tuple[bytes, str]:
        found = read(self, name, most)
        seen.append(name)
        if seen.count("s3://lake/photos/4.png") == 2:  # for its size, then with the second four
            bucket.refuse()
        return found

    with monkeypatch.context() as patch:
        patch.setattr("pt4al_backend.images.sources.Remote.read_version", expiring)
        result = rank(tmp_path, "s3://lake/photos")
    assert result.exit_code == 1
    assert "refuses access" in result.stderr
    assert "run the same command again" in result.stderr
    assert not (tmp_path / "tasks.json").exists()
    bucket.accept()
    bucket.put("lake", "photos/0.png", b"changed")  # it was read already
    result = rank(tmp_path, "s3://lake/photos")
    assert result.exit_code == 0, result.output
    assert "4 of 12 images are read" in " ".join(result.stderr.split())
    assert len(tasks_in(tmp_path)) == 12


@pytest.mark.usefixtures("by_number")
def test_killed_ranking_goes_on_where_it_was(bucket: S3Server, tmp_path: Path) -> None:
    bucket.make("lake", {f"{number:03}.png": picture(number) for number in range(260)})
    command = [sys.executable, "-m", "pt4al_backend", "rank", "s3://lake", "--out", str(tmp_path / "tasks.json")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_until(
            lambda: [*(tmp_path / "data").glob("rankings/*/read.jsonl")] or process.poll() is not None, 120, "a part is read"
        )
        process.kill()
    assert not (tmp_path / "tasks.json").exists()
    bucket.put("lake", "000.png", b"changed")
    result = rank(tmp_path, "s3://lake")
    assert result.exit_code == 0, result.output
    assert "of 260 images are read" in " ".join(result.stderr.split())
    assert len(tasks_in(tmp_path)) == 260
