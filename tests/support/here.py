"""Runners that do jobs in this process: another one would spend two seconds of CPU on the import of torch."""

import time
from pathlib import Path
from typing import Any

from pt4al_backend.config.server import Device
from pt4al_backend.jobs.dispatch import work
from pt4al_backend.jobs.folder import CHECKPOINT, locked
from pt4al_backend.jobs.network_job import NetworkJob
from pt4al_backend.jobs.run.restarts import Ended, RestartingRunner
from pt4al_backend.progress import Progress

LOOK_SECONDS = 0.05


class Here:
    """Does a job, and starts none again."""

    def run(self, folder: Path, report: Any, on_tick: Any) -> Path:
        def tell(event: Progress) -> None:
            on_tick()
            report(event)

        work(NetworkJob.read(folder), tell)
        return folder / "result"


class RestartingHere(RestartingRunner):
    """Does a job as a child process would, which waits for an orphan that has it."""

    def check(self, device: Device) -> str:
        return "jobs run in the process of the test"

    def attempt(self, folder: Path, on_progress: Any, on_tick: Any) -> Ended:
        while True:
            with locked(folder, wait=False) as is_ours:
                if is_ours:
                    Here().run(folder, on_progress, on_tick)
                    (folder / CHECKPOINT).unlink(missing_ok=True)
                    return Ended()
            on_tick()
            time.sleep(LOOK_SECONDS)
