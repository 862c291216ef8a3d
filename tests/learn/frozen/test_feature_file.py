"""The feature file: what is kept, what is missing, what is noticed."""

from pathlib import Path

import numpy as np
import pytest

from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.learn.frozen.feature_file import FeatureFile
from tests.support import pools

ROWS = np.arange(6)
FEATURES = np.random.default_rng(0).normal(size=(6, 2, 5)).astype(np.float16)


@pytest.fixture
def frames(tmp_path: Path) -> FrameFile:
    return FrameFile(pools.arrows(tmp_path / "frames", 6), (16, 16))


def opened(tmp_path: Path) -> FeatureFile:
    return FeatureFile(tmp_path / "features.f16", 2, 5)


def test_features_are_read_as_they_were_written_in_any_order(tmp_path: Path, frames: FrameFile) -> None:
    with opened(tmp_path) as file:
        file.write(ROWS, FEATURES, frames)
        file.flush()
    with opened(tmp_path) as file:
        assert len(file.missing(ROWS, frames)) == 0
        np.testing.assert_array_equal(file.read(ROWS[::-1]), FEATURES[::-1])


def test_rows_that_were_not_written_are_missing_between_others_too(tmp_path: Path, frames: FrameFile) -> None:
    with opened(tmp_path) as file:
        file.write(ROWS[[1, 4]], FEATURES[[1, 4]], frames)
        assert file.missing(ROWS, frames).tolist() == [0, 2, 3, 5]


def test_features_of_a_frame_that_has_changed_are_missing(tmp_path: Path, frames: FrameFile) -> None:
    with opened(tmp_path) as file:
        file.write(ROWS, FEATURES, frames)
        frames.write(3, np.zeros((16, 16, 3), np.uint8))
        assert file.missing(ROWS, frames).tolist() == [3]


def test_damaged_features_are_missing(tmp_path: Path, frames: FrameFile) -> None:
    with opened(tmp_path) as file:
        file.write(ROWS, FEATURES, frames)
    content = bytearray((tmp_path / "features.f16").read_bytes())
    content[2 * len(content) // 6 + 9] ^= 0xFF
    (tmp_path / "features.f16").write_bytes(content[:-3])
    with opened(tmp_path) as file:
        assert file.missing(ROWS, frames).tolist() == [2, 5]
