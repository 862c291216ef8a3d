"""The frames that other hosts have stored, where hosts have no common disk: each keeps all of them, in the same rows.

The rows are the state's; a host that lacks some gets them from the artefact store, else fetches their images again, and so undoes
nothing of the others.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.aliases import Ids
from pt4al_backend.engine.sharing.row_marks import HERE, Mark
from pt4al_backend.errors import ConfigError, StoreAway
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.frames import digest
from pt4al_backend.jobs.shared_rows import SharedRows

log = logging.getLogger(__name__)

THREADS = 8
CHUNK = 256  # images between two flushes
TURN_SECONDS = 60.0  # of fetching, before other projects get their turn

#: Frames of tasks, uint8 [h, w, 3] by id.
FramesOf = Callable[[Sequence[int], ThreadPoolExecutor], dict[int, NDArray[np.uint8]]]
OnProgress = Callable[[int, int], None]


class MissingFrames:
    """What one frame file here lacks of theirs.

    Attributes:
        filled: the number of rows below which it lacks nothing.
        is_store_away: whether the artefact store has not said what it has.
    """

    def __init__(self, frames: FrameFile, remote: SharedRows | None) -> None:
        self.filled = Mark(frames.path, HERE)
        self.is_store_away = False
        self._frames, self._remote = frames, remote

    def bring(
        self, ids: Ids, rows: NDArray[np.int64], digests: Mapping[int, str], on_progress: OnProgress
    ) -> NDArray[np.bool_] | None:
        """Writes the frames that the artefact store has of tasks into their rows; bool [m]: which; None if its turn is over.

        Args:
            digests: what the frames show, by task: the state may be a backup's, and the store's rows of a later day.
        """
        is_here, end = np.zeros(len(ids), np.bool_), time.monotonic() + TURN_SECONDS
        place_of = {row: place for place, row in enumerate(rows.tolist())}
        if self._remote is None or not len(ids):
            return is_here
        try:
            for contents in self._remote.bring(rows, lambda: on_progress(int(is_here.sum()), len(ids))):
                for row, frame in contents.items():
                    place = place_of[row]
                    if digests.get(int(ids[place])) in ("", digest(frame)):
                        self._frames.write(row, frame)
                        is_here[place] = True
                self._frames.flush()
                if time.monotonic() > end:
                    return None
        except (ConfigError, StoreAway) as error:
            self.is_store_away = True
            log.warning("%s", error)
        return is_here

    def refill(self, ids: Ids, rows: NDArray[np.int64], frames_of: FramesOf, on_progress: OnProgress) -> NDArray[np.bool_] | None:
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
