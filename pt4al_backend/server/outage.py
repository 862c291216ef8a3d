"""What stops every project and leaves the state readable; the engine cannot write about it there."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel

from pt4al_backend.engine.work_queue import QUEUE_ERRORS
from pt4al_backend.state.schema import Project

FULL_BYTES = 32 * 2**20  # free space of a disk that cannot even take what SQLite writes ahead


class Trouble(BaseModel):
    """The last error, and what to do about it."""

    message: str
    remedy: str
    at: float | None


class Outages:
    """Looks for what is away.

    Args:
        data_dir: the folder whose disk may be full.
        queue: reads the queue, and raises if that is away.
        hide: takes from a text, and the address that Label Studio gave, what its readers must not learn.
    """

    def __init__(self, data_dir: Path | None, queue: Callable[[], object] | None, hide: Callable[[str, str], str]) -> None:
        self._data_dir, self._queue, self._hide = data_dir, queue, hide

    def of(self, project: Project) -> Trouble | None:
        """What is away, as those may read it who may read of this project."""
        if self._data_dir is not None and (free := shutil.disk_usage(self._data_dir).free) < FULL_BYTES:
            return Trouble(
                message=self._hide(
                    f"The disk that holds {self._data_dir} is full: {free / 2**20:.0f} MiB are left.", project.hostname
                ),
                remedy="Free some space, or point PT4AL_DATA_DIR to a larger disk. Work then resumes by itself.",
                at=None,
            )
        if self._data_dir is not None and not os.access(self._data_dir, os.W_OK):
            return Trouble(
                message="The data folder cannot be written: webhooks are refused, and nothing is trained.",
                remedy="Make PT4AL_DATA_DIR writable for the user that runs the backend. Work then resumes by itself.",
                at=None,
            )
        try:
            if self._queue is not None:
                self._queue()
        except QUEUE_ERRORS as error:
            return Trouble(
                message=f"The work queue does not answer ({type(error).__name__}): webhooks are refused, nothing is trained.",
                remedy="Start the Redis of PT4AL_REDIS_URL; without one, look after the disk of PT4AL_DATA_DIR. "
                "Work then resumes by itself.",
                at=None,
            )
        return None
