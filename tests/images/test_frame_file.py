from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.images.frame_file import FrameFile


def squares(count: int, size: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def test_reads_back_what_was_written_in_any_order(tmp_path: Path) -> None:
    images = squares(5, 8)
    with FrameFile(tmp_path / "new folder" / "pixels", (8, 8)) as pixels:
        for row, image in enumerate(images):
            pixels.write(row, image)
        order = np.array([3, 0, 4, 3, 1])
        assert np.array_equal(pixels.read(order), images[order])
        assert pixels.rows == 5


def test_a_second_reader_sees_the_rows_after_reopening(tmp_path: Path) -> None:
    images = squares(3, 8)
    with FrameFile(tmp_path / "pixels", (8, 8)) as pixels:
        pixels.write(0, images[0])
        pixels.flush()
    with FrameFile(tmp_path / "pixels", (8, 8)) as pixels:
        pixels.write(pixels.rows, images[1])
        with FrameFile(tmp_path / "pixels", (8, 8)) as reader:
            assert np.array_equal(reader.read(np.arange(2)), images[:2])


def test_a_row_past_the_end_leaves_the_others_in_place(tmp_path: Path) -> None:
    images = squares(2, 4)
    with FrameFile(tmp_path / "pixels", (4, 4)) as pixels:
        pixels.write(7, images[0])
        pixels.write(2, images[1])
        assert pixels.rows == 8
        assert np.array_equal(pixels.read(np.array([7, 2])), images)


def test_a_row_can_be_replaced(tmp_path: Path) -> None:
    images = squares(3, 4)
    with FrameFile(tmp_path / "pixels", (4, 4)) as pixels:
        pixels.write(0, images[0])
        pixels.write(1, images[1])
        pixels.write(0, images[2])
        assert np.array_equal(pixels.read(np.arange(2)), images[[2, 1]])


def test_an_image_that_is_a_view_is_written_in_its_own_order(tmp_path: Path) -> None:
    image = squares(1, 4)[0]
    with FrameFile(tmp_path / "pixels", (4, 4)) as pixels:
        pixels.write(0, image.transpose(1, 0, 2))
        assert np.array_equal(pixels.read(np.array([0]))[0], image.transpose(1, 0, 2))


def test_no_rows_give_an_empty_array(tmp_path: Path) -> None:
    with FrameFile(tmp_path / "pixels", (4, 4)) as pixels:
        assert pixels.read(np.empty(0, dtype=np.int64)).shape == (0, 4, 4, 3)


@pytest.mark.parametrize("kept", [0, 47, 48, 95])
def test_a_file_that_was_cut_short_is_reported(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "pixels"
    with FrameFile(path, (4, 4)) as pixels:
        for row, image in enumerate(squares(2, 4)):
            pixels.write(row, image)
        with path.open("r+b") as file:
            file.truncate(kept)
        with pytest.raises(StoreCorrupt, match="pixels ends before row 1") as caught:
            pixels.read(np.array([1]))
    assert str(path) in caught.value.remedy


def test_row_that_was_overwritten_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "pixels"
    with FrameFile(path, (4, 4)) as pixels:
        for row, image in enumerate(squares(3, 4)):
            pixels.write(row, image)
    with path.open("r+b") as file:
        file.seek(48)
        file.write(b"garbage")
    with FrameFile(path, (4, 4)) as pixels:
        assert np.array_equal(pixels.read(np.array([0, 2])), squares(3, 4)[[0, 2]])
        with pytest.raises(StoreCorrupt, match="pixels is damaged at row 1"):
            pixels.read(np.array([1]))
        assert pixels.damaged(np.arange(4)).tolist() == [False, True, False, True]


def test_file_of_an_earlier_version_has_no_checksums_and_is_read(tmp_path: Path) -> None:
    images = squares(2, 4)
    (tmp_path / "pixels").write_bytes(images.tobytes())
    with FrameFile(tmp_path / "pixels", (4, 4)) as pixels:
        assert np.array_equal(pixels.read(np.arange(2)), images)
        assert not pixels.damaged(np.arange(2)).any()


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((5, 4, 3), np.uint8), np.zeros((4, 4, 3), np.float32)],
)
def test_refuses_another_shape_or_type(tmp_path: Path, image: NDArray[np.uint8]) -> None:
    with FrameFile(tmp_path / "pixels", (4, 4)) as pixels:
        with pytest.raises(ValueError, match="expected uint8"):
            pixels.write(0, image)
        assert pixels.rows == 0


def test_refuses_negative_rows(tmp_path: Path) -> None:
    with FrameFile(tmp_path / "pixels", (4, 4)) as pixels:
        pixels.write(0, squares(1, 4)[0])
        with pytest.raises(ValueError, match="negative"):
            pixels.write(-1, squares(1, 4)[0])
        with pytest.raises(ValueError, match="negative"):
            pixels.read(np.array([-1]))


def test_reader_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FrameFile(tmp_path / "gone" / "pixels", (4, 4), writable=False)
    assert list(tmp_path.iterdir()) == []
    with FrameFile(tmp_path / "pixels", (4, 4)) as pixels:
        pixels.write(0, squares(1, 4)[0])
    with FrameFile(tmp_path / "pixels", (4, 4), writable=False) as pixels:
        assert np.array_equal(pixels.read(np.array([0])), squares(1, 4))
        with pytest.raises(OSError, match="Bad file descriptor"):
            pixels.write(0, squares(1, 4)[0])
