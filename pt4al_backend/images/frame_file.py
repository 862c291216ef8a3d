"""The pool's decoded images: one file of uint8 frames, written once, read at random by every epoch.

Each image is fetched and decoded once; training and scoring read its frame from here. Which rows hold an image is
the state's knowledge, not the file's: a row that was never written reads as black if a later row was. A segmenter's masks
are kept in such a file as well, while it trains.

A second file beside it, ``NAME.crc``, holds the CRC-32 of every row, by which a row that was overwritten is noticed. Rows
without one, of files of earlier versions, are taken as they are.
"""

import os
import shutil
import zlib
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.errors import Part, StoreCorrupt
from pt4al_backend.images.frames import Shape

#: What the name of the file of checksums ends with.
SUMS = ".crc"
_SUM = np.dtype("<u4")


class FrameFile:
    """Frames of RGB pixels, all of one shape (height, width), row k at byte ``k * height * width * 3`` of the file at ``path``.

    ``channels`` may be another number than 3. Opens the file, or creates it with its folder. Reading and writing are safe
    from several threads and processes as long as no two write the same row.

    With ``writable`` off it is only read, and a file that is not there raises FileNotFoundError.
    """

    def __init__(self, path: Path, shape: Shape, channels: int = 3, *, writable: bool = True) -> None:
        self.path = path
        self.shape = (*shape, channels)
        self._row_bytes = shape[0] * shape[1] * channels
        flags = os.O_RDONLY | os.O_CLOEXEC
        if writable:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o644)
        try:
            self._sum_file = os.open(path.with_name(path.name + SUMS), flags, 0o644)
        except OSError:
            os.close(self._file)
            raise
        self._sums = np.empty(0, _SUM)
        self._checked: set[int] = set()  # rows that were read before: one check for each process is enough

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; a second call does nothing. What was not flushed is left to the operating system."""
        if self._file >= 0:
            os.close(self._file)
            os.close(self._sum_file)
            self._file = -1

    @property
    def rows(self) -> int:
        """Whole rows in the file, the number that the next appended image gets."""
        return os.fstat(self._file).st_size // self._row_bytes

    def write(self, row: int, image: NDArray[np.uint8]) -> None:
        """Writes one frame, uint8 [height, width, channels], at ``row``, which may lie past the end.

        Raises:
            ValueError: another shape or type, or a negative row.
            OSError: the disk is full or failing.
        """
        if image.shape != self.shape or image.dtype != np.uint8:
            raise ValueError(f"expected uint8 {list(self.shape)}, got {image.dtype} {list(image.shape)}")
        if row < 0:
            raise ValueError(f"row {row} is negative")
        data = image.tobytes()
        left = memoryview(data)
        offset = row * self._row_bytes
        while left:  # a nearly full disk takes a part first and refuses the rest
            written = os.pwrite(self._file, left, offset)
            left = left[written:]
            offset += written
        os.pwrite(self._sum_file, np.array(zlib.crc32(data), _SUM).tobytes(), row * _SUM.itemsize)
        self._sums = np.empty(0, _SUM)
        self._checked.discard(row)

    def flush(self) -> None:
        """Returns once everything written so far is on the disk."""
        os.fsync(self._file)
        os.fsync(self._sum_file)

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Reads frames: uint8 [m, height, width, channels] for int64 [m] row numbers in any order.

        Plain reads, not a memory map: mapped pages count as the worker's memory, and that must stay flat in the pool.

        Raises:
            ValueError: a negative row.
            StoreCorrupt: the file ends before the end of a row, or a row is not what was written.
        """
        frames = np.empty((len(rows), *self.shape), dtype=np.uint8)
        for frame, row in zip(frames, rows.tolist(), strict=True):
            if row < 0:
                raise ValueError(f"row {row} is negative")
            if not self._read_row(row, frame):
                height, width, _ = self.shape
                ends = f"ends before row {row}: it has {self.rows} of {width} x {height} pixels"
                raise StoreCorrupt(
                    f"The image store {self.path.name} {ends if row >= self.rows else f'is damaged at row {row}'}.",
                    f"A connected project fetches the images again by itself. Elsewhere, delete {self.path} and run it again.",
                    part=Part.FRAMES,
                )
        return frames

    def damaged(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these rows, int64 [m], are missing or not what was written: bool [m]."""
        frame = np.empty(self.shape, np.uint8)
        self._checked.clear()
        return np.array([not self._read_row(row, frame) for row in rows.tolist()], np.bool_)

    def _read_row(self, row: int, frame: NDArray[np.uint8]) -> bool:
        """Reads one row into ``frame``; whether it is there and what was written."""
        if os.preadv(self._file, [frame.data], row * self._row_bytes) != self._row_bytes:
            return False
        if row in self._checked:
            return True
        found = zlib.crc32(frame.data)
        # read again when it differs: another process may have written since
        if self._sum_of(row) not in (0, found) and self._sum_of(row, again=True) not in (0, found):
            return False
        self._checked.add(row)
        return True

    def sums(self, rows: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Checksums uint32 [m] of these rows, 0 where none is known."""
        return np.array([self._sum_of(row) for row in rows.tolist()], np.uint32)

    def _sum_of(self, row: int, *, again: bool = False) -> int:
        """Checksum of a row, 0 where none is known."""
        if again or row >= len(self._sums):
            size = os.fstat(self._sum_file).st_size // _SUM.itemsize * _SUM.itemsize
            self._sums = np.frombuffer(os.pread(self._sum_file, size, 0), _SUM)
        return int(self._sums[row]) if row < len(self._sums) else 0


def read_one(path: Path, shape: Shape, row: int, channels: int = 3) -> NDArray[np.uint8] | None:
    """One frame uint8 [height, width, channels] for a reader that makes no file: None if it is not there, or is being written."""
    frame = np.empty((*shape, channels), np.uint8)
    total = np.zeros(1, _SUM)
    try:
        with path.open("rb", buffering=0) as frames, path.with_name(path.name + SUMS).open("rb", buffering=0) as sums:
            is_whole = os.preadv(frames.fileno(), [frame.data], row * frame.nbytes) == frame.nbytes
            os.preadv(sums.fileno(), [total.data], row * total.nbytes)
    except FileNotFoundError:
        return None
    return frame if is_whole and total[0] in (0, zlib.crc32(frame.data)) else None


def remove(path: Path) -> None:
    """Deletes a frame file and its checksums, whatever lies in their place."""
    for each in (path, path.with_name(path.name + SUMS)):
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink(missing_ok=True)
