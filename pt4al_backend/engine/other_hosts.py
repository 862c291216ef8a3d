"""The frames that other hosts have stored, where hosts have no common disk: each keeps all of them, in the same rows.

The rows are the state's; a host that lacks some fetches their images again, and so undoes nothing of the others.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pt4al_backend import artefacts
from pt4al_backend.aliases import Ids
from pt4al_backend.images.frame_file import FrameFile

THREADS = 8
CHUNK = 256  # images between two flushes
TURN_SECONDS = 60.0  # of fetching, before other projects get their turn

#: Frames of tasks, uint8 [h, w, 3] by id.
FramesOf = Callable[[Sequence[int], ThreadPoolExecutor], dict[int, NDArray[np.uint8]]]


class OtherHosts:
    """What one frame file here lacks of theirs. Beside it lies the number of rows below which it lacks nothing."""

    def __init__(self, path: Path, frames: FrameFile) -> None:
        self._path = path.with_name(f"{path.name}.filled")
        self._frames = frames

    @property
    def filled(self) -> int:
        """Rows, from the first, that were all here when it was last looked."""
        try:
            return int(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def note_filled(self, rows: int) -> None:
        """Notes that so many rows are here, from the first."""
        artefacts.atomic_write(self._path, str(rows).encode())

    def refill(
        self, ids: Ids, rows: NDArray[np.int64], frames_of: FramesOf, on_progress: Callable[[int, int], None]
    ) -> NDArray[np.bool_] | None:
        """Writes the frames of tasks into their rows; bool [m]: which could be read; None if its turn was over before."""
        is_read, end = np.zeros(len(ids), np.bool_), time.monotonic() + TURN_SECONDS
        with ThreadPoolExecutor(THREADS, thread_name_prefix="fetch") as pool:
            for start in range(0, len(ids), CHUNK):
                if start and time.monotonic() > end:
                    return None
                on_progress(start, len(ids))
                part = ids[start : start + CHUNK].tolist()
                frames = frames_of(part, pool)
                for place, task_id in enumerate(part, start):
                    if task_id in frames:
                        self._frames.write(int(rows[place]), frames[task_id])
                        is_read[place] = True
                self._frames.flush()
        return is_read
