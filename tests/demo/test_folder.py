"""The demo's folder: it starts afresh, belongs to one demo at a time, and no other folder is touched."""

from pathlib import Path

import pytest

from pt4al_backend.demo.folder import MARKER, fresh
from pt4al_backend.errors import ConfigError


def test_demo_empties_its_own_folder_and_no_other(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    with fresh(own):
        (own / "data").mkdir()
        (own / "data" / "old").touch()
    with fresh(own):
        assert [path.name for path in own.iterdir()] == [MARKER]
    other.mkdir()
    (other / "thesis.tex").touch()
    with pytest.raises(ConfigError, match="not the demo's"), fresh(other):
        pass
    assert (other / "thesis.tex").exists()


def test_second_demo_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with fresh(tmp_path), pytest.raises(ConfigError, match="Another demo"), fresh(tmp_path):
        pass
    with fresh(tmp_path):
        pass


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file"), fresh(tmp_path / "file" / "demo"):
        pass


def test_folder_whose_parent_cannot_be_made_is_named() -> None:
    with pytest.raises(ConfigError, match="/proc/x/y") as refused, fresh(Path("/proc/x/y")):
        pass
    assert "--folder" in refused.value.remedy
