"""Features of frames, computed once: a file beside the frame file with as many rows."""

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.frames import Shape

SUFFIX = ".f16"
#: Rows that are read at a time.
BLOCK = 1_024
_SUM = np.dtype("<u4")


def path_beside(frames: Path, encoder: str, digest: str, shape: Shape, name: str, least_side: int | None = None) -> Path:
    """The file beside a frame file with what an encoder, whose weights have a ``digest``, sees in frames of a shape.

    ``least_side`` is its form's (``TimmForm``).
    """
    least = "" if least_side is None else f"-from{least_side}"
    return frames.with_name(f"{frames.stem}-{encoder}-{digest[:8]}-{shape[0]}x{shape[1]}{least}-{name}{SUFFIX}")


class FeatureFile:
    """Features float16 [views, features] of each row of a frame file.

    A row holds the checksum of its frame as well: where the frame has changed since, the features count as missing. Whatever is
    damaged counts as missing too, and is computed again. ``writable`` is that of the ``FrameFile``.
    """

    def __init__(self, path: Path, views: int, features: int, *, writable: bool = True) -> None:
        self._shape = (views, features)
        self._file = FrameFile(path, (1, _SUM.itemsize + 2 * views * features), channels=1, writable=writable)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        self._file.close()

    @property
    def records(self) -> FrameFile:
        """The rows as they lie on the disk, each with the checksum of its frame."""
        return self._file

    def missing(self, rows: NDArray[np.int64], frames: FrameFile) -> NDArray[np.int64]:
        """Those of these rows, int64 [m], whose features have to be computed, ascending."""
        damaged = self._file.damaged(rows) | (self._file.sums(rows) == 0)  # 0: between rows that were written
        there = rows[~damaged]
        outdated = there[self._records(there)[:, : _SUM.itemsize].copy().view(_SUM)[:, 0] != frames.sums(there)]
        return np.unique(np.concatenate([rows[damaged], outdated]))

    def write(self, rows: NDArray[np.int64], features: NDArray[np.float16], frames: FrameFile) -> None:
        """Writes the features float16 [m, views, features] of rows int64 [m]."""
        for row, found, total in zip(rows.tolist(), features, frames.sums(rows), strict=True):
            record = np.concatenate([np.array([total], _SUM).view(np.uint8), np.ascontiguousarray(found).view(np.uint8).ravel()])
            self._file.write(row, record[None, :, None])

    def flush(self) -> None:
        """Returns once everything written so far is on the disk."""
        self._file.flush()

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """Features float16 [m, views, features] of rows int64 [m], none of which may be ``missing``.

        Read block by block, so that a large pool's are in memory once. A memory map would count as much, and check nothing.
        """
        values = np.empty((len(rows), *self._shape), np.float16)
        for positions in blocks(np.arange(len(rows))):
            found = self._records(rows[positions])[:, _SUM.itemsize :].copy().view(np.float16)
            values[positions] = found.reshape(len(positions), *self._shape)
        return values

    def _records(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self._file.read(rows)[:, 0, :, 0]


def blocks(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Rows in the pieces that are read at a time."""
    return [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
