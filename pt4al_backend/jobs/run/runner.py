"""A runner: what brings jobs to their results."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pt4al_backend.progress import Report

OnTick = Callable[[], None]


class Runner(Protocol):
    """Brings jobs to their results, anywhere."""

    def run(self, folder: Path, on_progress: Report, on_tick: OnTick) -> Path:
        """Runs a job, or resumes it; returns the folder of its result, at once if it is there already.

        Args:
            folder: the job's (see ``folder``).
            on_progress: called with the progress of the job.
            on_tick: called about twice a second while the job runs; an error that it raises ends the job.

        Raises:
            TrainingImpossible: the job cannot be done; it says why.
            StoreCorrupt: it cannot be done before a ``part`` of the project's files is made again.
            RunnerUnavailable: what the settings name is not installed, or does not answer.
        """
        ...
