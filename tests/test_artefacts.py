"""Files and artefacts on disk: whole or not there, whatever was killed or full; refused when altered."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pt4al_backend import artefacts
from pt4al_backend.errors import StoreCorrupt
from tests.support import disks


def write(target: Path, content: bytes = b"weights", **manifest: object) -> None:
    with artefacts.writing(target, **manifest) as draft:
        (draft / "weights.pt").write_bytes(content)


def test_what_was_written_is_read_with_its_manifest(tmp_path: Path) -> None:
    write(tmp_path / "model", classes=["cat", "dog"])
    assert artefacts.manifest(tmp_path / "model")["classes"] == ["cat", "dog"]
    assert artefacts.is_complete(tmp_path / "model")


def test_an_interrupted_writer_leaves_the_artefact_before_it(tmp_path: Path) -> None:
    write(tmp_path / "model", b"old")

    def interrupted() -> None:
        with artefacts.writing(tmp_path / "model") as draft:
            (draft / "weights.pt").write_bytes(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "model" / "weights.pt").read_bytes() == b"old"
    assert artefacts.is_complete(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_newer_one_replaces_it(tmp_path: Path) -> None:
    write(tmp_path / "model", b"old")
    write(tmp_path / "model", b"new")
    assert (tmp_path / "model" / "weights.pt").read_bytes() == b"new"
    assert artefacts.is_complete(tmp_path / "model")


def test_an_altered_file_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "model")
    (tmp_path / "model" / "weights.pt").write_bytes(b"weightz")
    with pytest.raises(StoreCorrupt, match=r"weights\.pt.*altered"):
        artefacts.manifest(tmp_path / "model")


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "model")
    (tmp_path / "model" / "weights.pt").unlink()
    with pytest.raises(StoreCorrupt, match=r"weights\.pt.*missing"):
        artefacts.manifest(tmp_path / "model")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 99, "files": {}}', "not json"])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    write(tmp_path / "model")
    (tmp_path / "model" / "manifest.json").write_text(text)
    with pytest.raises(StoreCorrupt, match="model"):
        artefacts.manifest(tmp_path / "model")
    assert not artefacts.is_complete(tmp_path / "model")


def test_a_manifest_cannot_point_outside_its_folder(tmp_path: Path) -> None:
    write(tmp_path / "model")
    (tmp_path / "secret").write_text("x")
    (tmp_path / "model" / "manifest.json").write_text('{"schema": 1, "files": {"../secret": "0"}}')
    with pytest.raises(StoreCorrupt, match="secret"):
        artefacts.manifest(tmp_path / "model")


# single files


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("data", [b"new", bytearray(b"new"), memoryview(b"new"), [b"ne", b"w"]])
def test_atomic_write_replaces_a_file_and_leaves_nothing_beside_it(tmp_path: Path, data: artefacts.Bytes | list[bytes]) -> None:
    (tmp_path / "file").write_bytes(b"something older")
    artefacts.atomic_write(tmp_path / "file", data)
    assert (tmp_path / "file").read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


def test_atomic_write_gives_the_rights_that_open_gives(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    artefacts.atomic_write(tmp_path / "file", b"x")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_failed_atomic_write_keeps_the_old_file_and_frees_the_disk(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"the beginning of something new"
        raise OSError(28, "No space left on device")

    artefacts.atomic_write(tmp_path / "file", b"old")
    with pytest.raises(OSError, match="No space left"):
        artefacts.atomic_write(tmp_path / "file", pieces())
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_atomic_write_on_a_full_disk_raises_and_keeps_the_old_file(small_disk: Path) -> None:
    artefacts.atomic_write(small_disk / "file", b"old")
    disks.fill(small_disk)
    with pytest.raises(OSError, match="No space left"):
        artefacts.atomic_write(small_disk / "file", bytes(2**20))
    assert (small_disk / "file").read_bytes() == b"old"
    assert names(small_disk) == ["file", "filler"]


KILLED = """
import os, signal, sys
from pathlib import Path
from pt4al_backend import artefacts

def pieces():
    yield bytes(2**20)
    os.kill(os.getpid(), signal.SIGKILL)

artefacts.atomic_write(Path(sys.argv[1]), pieces())
"""


def test_writer_that_is_killed_leaves_the_old_file_and_leftovers_can_be_removed(tmp_path: Path) -> None:
    file, other = tmp_path / "file[1]", tmp_path / "file[1].npz"
    artefacts.atomic_write(file, b"old")
    artefacts.atomic_write(other, b"other")
    ended = subprocess.run([sys.executable, "-c", KILLED, file], check=False, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    assert ended.returncode == -signal.SIGKILL
    assert file.read_bytes() == b"old"
    assert len(names(tmp_path)) == 3
    artefacts.remove_leftovers(tmp_path)
    assert names(tmp_path) == ["file[1]", "file[1].npz"]


KILLED_IN_FOLDER = """
import os, signal, sys
from pathlib import Path
from pt4al_backend import artefacts

with artefacts.writing(Path(sys.argv[1])) as draft:
    (draft / "weights.pt").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_folder_of_a_killed_writer_is_removed_and_never_that_of_a_live_one(tmp_path: Path) -> None:
    project = tmp_path / "projects" / "1"
    write(project / "rank-1" / "result")
    (project / ".learn-1.a1b2c3d4").mkdir()  # as version 0.1.0 left them
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    for target in (project / "learn-1", project / "rank-1" / "result"):
        subprocess.run([sys.executable, "-c", KILLED_IN_FOLDER, target], check=False, env=environment)

    def pieces() -> Iterator[bytes]:
        yield b"first"
        artefacts.remove_leftovers(tmp_path)
        yield b" and last"

    with artefacts.writing(project / "learn-2") as draft:
        (draft / "weights.pt").write_bytes(b"weights")
        artefacts.remove_leftovers(tmp_path)
        artefacts.atomic_write(project / "mask.png", pieces())
    assert (project / "mask.png").read_bytes() == b"first and last"
    assert names(project) == ["learn-2", "mask.png", "rank-1"]
    assert names(project / "rank-1") == ["result"]
    assert all(map(artefacts.is_complete, (project / "learn-2", project / "rank-1" / "result")))


def test_file_that_was_altered_is_noticed_at_the_next_check(tmp_path: Path) -> None:
    model = tmp_path / "model"
    assert not artefacts.has_sound(model, "weights.pt")
    write(model)
    assert artefacts.has_sound(model, "weights.pt")
    (model / "weights.pt").write_bytes(b"garbage")
    assert not artefacts.has_sound(model, "weights.pt")
    (model / "weights.pt").unlink()
    assert not artefacts.has_sound(model, "weights.pt")


def test_several_writers_of_one_name_leave_one_whole_content(tmp_path: Path) -> None:
    contents = [bytes([k]) * 100_000 for k in range(8)]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(5):
            list(threads.map(lambda content: artefacts.atomic_write(tmp_path / "file", content), contents))
            assert (tmp_path / "file").read_bytes() in contents
    assert names(tmp_path) == ["file"]


def test_atomic_write_flushes_the_file_before_its_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut cannot be made here; what it would find is decided by this order."""
    flushed: list[tuple[str, bool]] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        flushed.append(("folder" if path.is_dir() else "file", (tmp_path / "file").exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    artefacts.atomic_write(tmp_path / "file", b"x")
    assert flushed == [("file", False), ("folder", True)]
