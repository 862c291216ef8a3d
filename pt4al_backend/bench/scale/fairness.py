"""How long a project waits for a look where many share a few workers, and all of them get a label at the same moment.

Label Studio is a stub. The workers are processes as an admin starts them, with state and work queue in SQLite.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import mean

from pt4al_backend.bench.numbers.looking import CONFIG, CONTROL, fill
from pt4al_backend.bench.numbers.servers import BenchmarkFailed
from pt4al_backend.bench.numbers.stub_studio import StubProject, StubStudio
from pt4al_backend.bench.numbers.table import Line
from pt4al_backend.bench.numbers.workbench import Workbench
from pt4al_backend.config import ServerSettings, server_settings
from pt4al_backend.engine.work_queue import WorkQueue
from pt4al_backend.processes import ProcessGroup
from pt4al_backend.state.store import Store

PROJECTS, WORKERS, TASKS = 50, 2, 1_000
BURSTS = 3  # times that every project gets a label
PATIENCE = 300.0  # seconds for all looks of a burst
LOOK_SECONDS = 0.02


def measure(bench: Workbench) -> list[Line]:
    """The longest wait in seconds, and as a multiple of the mean one; where turns are taken it is about two."""
    waits = [wait for burst in _bursts(bench.folder / "fairness") for wait in burst]
    longest, average = max(waits), mean(waits)
    what = f"longest wait for a look, {PROJECTS} projects of {TASKS:,} tasks that get a label at once, {WORKERS} workers"
    note = f"n = {len(waits)}, mean {average:.2f} s"
    return [Line(what, longest, "s", note=note), Line("— as a multiple of the mean wait", longest / average, "")]


def _bursts(folder: Path) -> list[list[float]]:
    """Seconds that each project waited, burst by burst."""
    projects = {number: StubProject(CONFIG, CONTROL, TASKS) for number in range(1, PROJECTS + 1)}
    with StubStudio(projects) as studio, ExitStack() as stack:
        settings = server_settings(
            LABEL_STUDIO_URL=studio.url, LABEL_STUDIO_API_KEY="0" * 40, data_dir=folder, device="cpu", pretrained="off"
        )
        waiting = {number: fill(settings, TASKS, number) for number in projects}
        store = Store.open(settings)
        stack.callback(store.close)
        queue = WorkQueue(settings)
        for number in range(WORKERS):
            stack.enter_context(_worker(settings, folder / f"worker-{number}.log"))
        _handled(store, queue, list(projects))  # publishes the rounds, and loads what a worker loads once
        found = []
        for burst in range(BURSTS):
            for number, project in projects.items():
                task = waiting[number][burst]
                project.put(task, f"{task}.png", "odd")
            found.append(_handled(store, queue, list(projects)))
        return found


def _handled(store: Store, queue: WorkQueue, projects: list[int]) -> list[float]:
    """Requests a look at each project, as a webhook does; returns the seconds until each was through."""
    began = time.monotonic()
    wanted = {}
    for number in projects:
        store.request(number)
        wanted[number] = _project(store, number)[0]
        queue.request(number)
    waits: dict[int, float] = {}
    while len(waits) < len(projects):
        if time.monotonic() - began > PATIENCE:
            raise BenchmarkFailed(f"{len(projects) - len(waits)} projects got no look within {PATIENCE:g} s.")
        for number in projects:
            if number not in waits and _project(store, number)[1] >= wanted[number]:
                waits[number] = time.monotonic() - began
        time.sleep(LOOK_SECONDS)
    return list(waits.values())


def _project(store: Store, number: int) -> tuple[int, int]:
    """Requests so far of a project, and those that were handled."""
    project = store.project(number)
    assert project is not None  # noqa: S101 - it was filled
    if project.error:
        raise BenchmarkFailed(project.error)
    return project.requests, project.requests_handled


@contextmanager
def _worker(settings: ServerSettings, log: Path) -> Iterator[None]:
    """A worker process, which ends with this one."""
    environment = {
        **os.environ,
        "LABEL_STUDIO_URL": settings.label_studio_url,
        "LABEL_STUDIO_API_KEY": settings.label_studio_api_key,
        "PT4AL_DATA_DIR": str(settings.data_dir),
        "PT4AL_DEVICE": settings.device,
        "PT4AL_PRETRAINED": settings.pretrained,
        "PT4AL_POLL_SECONDS": "3600",
    }
    command = [sys.executable, "-m", "pt4al_backend", "worker", "--supervised"]
    with log.open("wb") as output:
        group = ProcessGroup(command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, env=environment)
    try:
        yield
    finally:
        group.end(30.0)
