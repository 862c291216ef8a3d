"""Artefacts: whole or not there, and refused when altered."""

from pathlib import Path

import pytest

from pt4al_backend import artefacts
from pt4al_backend.errors import StoreCorrupt


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
