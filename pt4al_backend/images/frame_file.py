"""The pool's decoded images: one file of uint8 frames, written once, read at random by every epoch.

Each image is fetched and decoded once; training and scoring read its frame from here. Which rows hold an image is
the state's knowledge, not the file's: a row that was never written reads as black if a later row was. A segmenter's masks
are kept in such a file as well, while it trains.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.images.frames import Shape


class FrameFile:
    """Frames of RGB pixels, all of one shape (height, width), row k at byte ``k * height * width * 3`` of the file at ``path``.

    ``channels`` may be another number than 3. Opens the file, or creates it with its folder. Reading and writing are safe
    from several threads and processes as long as no two write the same row.
    """

    def __init__(self, path: Path, shape: Shape, channels: int = 3) -> None:
        self.path = path
        self.shape = (*shape, channels)
        self._row_bytes = shape[0] * shape[1] * channels
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; a second call does nothing. What was not flushed is left to the operating system."""
        if self._file >= 0:
            os.close(self._file)
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
        left = memoryview(image.tobytes())
        offset = row * self._row_bytes
        while left:  # a nearly full disk takes a part first and refuses the rest
            written = os.pwrite(self._file, left, offset)
            left = left[written:]
            offset += written

    def flush(self) -> None:
        """Returns once everything written so far is on the disk."""
        os.fsync(self._file)

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Reads frames: uint8 [m, height, width, channels] for int64 [m] row numbers in any order.

        Plain reads, not a memory map: mapped pages count as the worker's memory, and that must stay flat in the pool.

        Raises:
            ValueError: a negative row.
            StoreCorrupt: the file ends before the end of a row.
        """
        frames = np.empty((len(rows), *self.shape), dtype=np.uint8)
        for frame, row in zip(frames, rows.tolist(), strict=True):
            if row < 0:
                raise ValueError(f"row {row} is negative")
            if os.preadv(self._file, [frame.data], row * self._row_bytes) != self._row_bytes:
                height, width, _ = self.shape
                raise StoreCorrupt(
                    f"The image store {self.path.name} ends before row {row}: it has {self.rows} of {width} x {height} pixels.",
                    f"Stop the backend, delete {self.path} and start it again: the images are fetched again.",
                )
        return frames
