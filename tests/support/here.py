"""A runner that does jobs in this process."""

from pathlib import Path
from typing import Any

from pt4al_backend.jobs.dispatch import work
from pt4al_backend.jobs.network_job import NetworkJob
from pt4al_backend.progress import Progress


class Here:
    """Does a job, and starts none again."""

    def run(self, folder: Path, report: Any, on_tick: Any) -> Path:
        def tell(event: Progress) -> None:
            on_tick()
            report(event)

        work(NetworkJob.read(folder), tell)
        return folder / "result"
