"""Rows of a file in an object store: each host gets what another one has, and nothing that was altered."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.jobs import shared_rows
from pt4al_backend.jobs.object_store import ObjectStore
from pt4al_backend.jobs.shared_rows import SharedRows

SHAPE = (2, 2)
NAME = "projects/3-ab/rows/pixels-2x2.u8"


def frame(row: int) -> NDArray[np.uint8]:
    return np.full((*SHAPE, 3), row + 1, np.uint8)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[list[FrameFile]]:
    """The frame files of two hosts."""
    with FrameFile(tmp_path / "a" / "pixels", SHAPE) as a, FrameFile(tmp_path / "b" / "pixels", SHAPE) as b:
        yield [a, b]


@pytest.fixture
def hosts(files: list[FrameFile], tmp_path: Path) -> list[SharedRows]:
    store = ObjectStore(f"file://{tmp_path}/store")
    return [SharedRows(store, NAME, file) for file in files]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_rows, "MOST_ROWS", 4)
    monkeypatch.setattr(shared_rows, "MOST_SMALL", 3)


def share(host: SharedRows, file: FrameFile, first: int, end: int, gap: int = -1) -> None:
    rows = np.array([row for row in range(host.block_of(first), end) if row != gap], np.int64)
    for row in rows.tolist():
        file.write(row, frame(row))
    host.share(rows, first, end, list)


def brought(host: SharedRows, *rows: int) -> dict[int, Any]:
    return {row: found for contents in host.bring(np.array(rows), list) for row, found in contents.items()}


def test_other_host_gets_every_row_but_one_that_holds_nothing(hosts: list[SharedRows], files: list[FrameFile]) -> None:
    share(hosts[0], files[0], 0, 6, gap=2)
    found = brought(hosts[1], *range(8))
    assert sorted(found) == [0, 1, 3, 4, 5]
    for row, content in found.items():
        files[1].write(row, content)
        assert np.array_equal(files[1].read(np.array([row]))[0], frame(row))


def test_late_imports_add_slices_which_become_one_when_there_are_many(hosts: list[SharedRows], files: list[FrameFile]) -> None:
    counts = []
    for end in (1, 2, 3, 4, 5, 6):
        share(hosts[0], files[0], end - 1, end)
        counts.append(len(hosts[0].slices()))
    assert counts == [1, 2, 3, 1, 2, 3]
    assert sorted(brought(hosts[1], *range(6))) == list(range(6))


def test_what_another_host_has_shared_is_not_uploaded_again(hosts: list[SharedRows], files: list[FrameFile]) -> None:
    share(hosts[0], files[0], 0, 3)
    share(hosts[1], files[1], 0, 6)
    assert [(each.first, each.end) for each in hosts[0].slices()] == [(0, 3), (3, 4), (4, 6)]


def test_upload_that_takes_too_long_goes_on_with_the_next_call(hosts: list[SharedRows], files: list[FrameFile]) -> None:
    rows = np.arange(10)
    for row in rows.tolist():
        files[0].write(row, frame(row))
    assert hosts[0].share(rows, 0, 10, list, seconds=-1.0) == 0
    assert hosts[0].slices() == []
    assert hosts[0].share(rows, 0, 10, list) == 10
    assert len(brought(hosts[1], *range(10))) == 10


def test_slice_that_was_altered_is_passed_over(hosts: list[SharedRows], files: list[FrameFile], tmp_path: Path) -> None:
    share(hosts[0], files[0], 0, 8)
    (path,) = (tmp_path / "store" / NAME).glob("0-4-*")
    path.write_bytes(path.read_bytes()[:-9] + b"otherwise")
    assert sorted(brought(hosts[1], *range(8))) == [4, 5, 6, 7]
