"""The map's layout: which images it has, when later ones join it, and when it is made again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pt4al_backend.errors import StoreCorrupt, TrainingImpossible
from pt4al_backend.jobs.layout import LaidOut, newest
from tests.support.layouts import Described

POOL = 60
ROWS = np.arange(POOL)


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Described]:
    pool = Described(tmp_path)
    pool.describe(0, POOL)
    yield pool
    pool.frames.close()


@pytest.fixture
def first(pool: Described) -> LaidOut:
    return pool.lay_out("layout-1", ROWS)


def joined(pool: Described, rows: Any) -> LaidOut:
    """The layout after ``first``."""
    return pool.lay_out("layout-2", rows, previous=pool.folder / "layout-1" / "result")


def test_each_image_has_its_place(first: LaidOut) -> None:
    assert first.tasks.tolist() == (ROWS + 100).tolist()
    assert first.rows.tolist() == ROWS.tolist()
    assert first.layout.positions.shape == (POOL, 2)
    centres = np.array([first.layout.positions[group::4].mean(0) for group in range(4)])
    assert len(np.unique(np.round(centres), axis=0)) == 4


def test_images_without_features_are_left_out_and_counted(pool: Described) -> None:
    found = pool.lay_out("layout-1", np.arange(POOL + 5))
    assert found.tasks.tolist() == (ROWS + 100).tolist()
    assert found.manifest.without_features == 5


def test_later_images_join_and_nothing_moves(pool: Described, first: LaidOut) -> None:
    pool.describe(POOL, POOL + 8)
    found = joined(pool, np.arange(POOL + 8))
    assert np.array_equal(found.layout.positions[:POOL], first.layout.positions)
    assert found.tasks.tolist() == (np.arange(POOL + 8) + 100).tolist()
    for row in range(POOL, POOL + 8):
        gaps = np.linalg.norm(found.layout.positions[:POOL] - found.layout.positions[row], axis=1)
        assert gaps.argmin() % 4 == row % 4


def test_images_of_deleted_tasks_leave_and_nothing_moves(pool: Described, first: LaidOut) -> None:
    found = joined(pool, ROWS[5:])
    assert found.tasks.tolist() == (ROWS[5:] + 100).tolist()
    assert np.array_equal(found.layout.positions, first.layout.positions[5:])


def test_layout_is_made_again_when_the_pool_has_grown_by_more_than_a_fifth(pool: Described, first: LaidOut) -> None:
    pool.describe(POOL, 2 * POOL)
    at_most = joined(pool, np.arange(POOL + POOL // 5))
    assert at_most.manifest.laid_out == POOL
    one_more = pool.lay_out("layout-3", np.arange(POOL + POOL // 5 + 1), previous=pool.folder / "layout-2" / "result")
    assert one_more.manifest.laid_out == POOL + POOL // 5 + 1
    assert not np.array_equal(one_more.layout.positions[:POOL], first.layout.positions)


def test_layout_is_made_again_with_other_weights(pool: Described, first: LaidOut) -> None:
    pool.digest = "b" * 64
    pool.describe(0, POOL + 1)
    assert joined(pool, np.arange(POOL + 1)).manifest.laid_out == POOL + 1


def test_damaged_layout_is_made_again(pool: Described, first: LaidOut) -> None:
    (pool.folder / "layout-1" / "result" / "layout.npz").write_bytes(b"spoilt")
    with pytest.raises(StoreCorrupt):
        LaidOut.load(pool.folder / "layout-1" / "result")
    assert joined(pool, ROWS).manifest.laid_out == POOL


def test_pool_without_features_is_refused(pool: Described) -> None:
    with pytest.raises(TrainingImpossible, match="No image has features"):
        pool.lay_out("layout-1", np.arange(POOL, POOL + 3))
    with pytest.raises(TrainingImpossible, match="images are not described"):
        pool.lay_out("layout-1", ROWS, learner=None)


def test_newest_layout_is_the_one_that_was_finished_last(pool: Described, first: LaidOut) -> None:
    for number in (9, 10, 11):
        pool.lay_out(f"layout-{number}", ROWS)
    (pool.folder / "layout-12").mkdir()
    assert newest(pool.folder) == pool.folder / "layout-11" / "result"
    assert newest(pool.folder / "elsewhere") is None
