"""What a look costs that finds one new label: CPU and memory, which must not grow with the pool.

The state is filled as a project of that many tasks leaves it, with an open round whose query is published. Label Studio is a
stub in another process, so that only the backend's own work is measured.
"""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np

from pt4al_backend.bench.numbers.footprint import forget_peak, peak
from pt4al_backend.bench.numbers.servers import BenchmarkFailed
from pt4al_backend.bench.numbers.stub_studio import StubProject, StubStudio
from pt4al_backend.bench.numbers.table import Line
from pt4al_backend.bench.numbers.workbench import Workbench
from pt4al_backend.config import ServerSettings, project_settings, server_settings
from pt4al_backend.engine.rounds import Rounds
from pt4al_backend.engine.worker import Worker
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.measures import PretextQuality
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.query.plan import StoredOutput
from pt4al_backend.query.ranking import cut_batches
from pt4al_backend.state.paths import frames_path
from pt4al_backend.state.schema import AnswerKind, Project
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer

POOLS = (10_000, 100_000, 500_000)
BOUND_SECONDS = 0.2  # of CPU
GROWTH = 1.1  # what counts as flat when the pool grows fiftyfold
LOOKS = 5
PROJECT, SIZE = 1, 32
MB = 1e6

CONTROL = "digit"
CONFIG = (
    f'<View><Image name="image" value="$image"/><Choices name="{CONTROL}" toName="image">'
    '<Choice value="odd"/><Choice value="even"/></Choices></View>'
)


def measure(bench: Workbench) -> list[Line]:
    """One row for each pool, and the memory at the largest as a multiple of that at the smallest."""
    found = [_looks(bench.folder / f"looking-{tasks}", tasks) for tasks in POOLS]
    lines = []
    for tasks, (cpu, growth, _) in zip(POOLS, found, strict=True):
        note = f"median of {LOOKS}; at most {growth / MB:.1f} MB more memory meanwhile"
        lines.append(Line(f"a look that finds one label, at {tasks:,} tasks: CPU", cpu, "s", BOUND_SECONDS, note=note))
    least, most = found[0][2], found[-1][2]
    what = f"— peak memory of a worker that looks, at {POOLS[-1]:,} tasks as a multiple of that at {POOLS[0]:,}"
    return [*lines, Line(what, most / least, "", GROWTH, note=f"{most / MB:.0f} against {least / MB:.0f} MB")]


def _looks(folder: Path, tasks: int) -> tuple[float, int, int]:
    """Of several looks: CPU seconds, the median; by how many bytes memory grew meanwhile, at most; and its peak in bytes."""
    project = StubProject(CONFIG, CONTROL, tasks)
    with StubStudio({PROJECT: project}) as studio:
        settings = server_settings(
            LABEL_STUDIO_URL=studio.url, LABEL_STUDIO_API_KEY="0" * 40, data_dir=folder, device="cpu", pretrained="off"
        )
        with ProcessPoolExecutor(1, get_context("spawn")) as first:
            waiting = first.submit(fill, settings, tasks).result()
            first.submit(look, settings).result()  # publishes the round
        found = []
        with ProcessPoolExecutor(1, get_context("spawn")) as worker:
            worker.submit(look, settings).result()  # loads what a worker loads once
            for task in waiting[:LOOKS]:
                project.put(task, f"{task}.png", "odd")
                found.append(worker.submit(look, settings).result())
    cpu, growth, peaks = zip(*found, strict=True)
    return median(cpu), max(growth), max(peaks)


def fill(settings: ServerSettings, tasks: int, project: int = PROJECT) -> list[int]:
    """Makes a state with a ranked pool and an open round, half of whose query is answered; returns the other half's tasks."""
    store = Store.open(settings)
    try:
        store.connect(project, label_config=CONFIG, setup_at=time.time() + 86_400)  # the stub lists no backend
        now = time.time()
        store.change(
            project,
            task="classification",
            image_height=SIZE,
            image_width=SIZE,
            stored_height=SIZE,
            stored_width=SIZE,
            next_row=tasks,
            quality=PretextQuality(meaningful=True),
            synced_until=time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(now)),
            full_sync_at=now,
            config_read=CONFIG,
            control_read=CONTROL,
        )
        _fill_pool(store, settings, tasks, project)
        rounds = Rounds(store, _project(store, project), project_settings({}))
        rounds.start()
        rounds.open_first(StoredOutput)
        query = [pick.task_id for pick in store.picks(project, 1) if pick.kind == PickKind.QUERY]
        half = len(query) // 2
        store.put_answers(project, dict.fromkeys(query[:half], StoredAnswer(AnswerKind.LABEL, "even", stamp="read")))
        return query[half:]
    finally:
        store.close()


def _fill_pool(store: Store, settings: ServerSettings, tasks: int, project: int) -> None:
    ids, losses = np.arange(1, tasks + 1), np.random.default_rng(0).exponential(size=tasks)
    store.put_tasks(project, [{"id": i, "image": f"{i}.png", "problem": ""} for i in ids.tolist()])
    same = dict.fromkeys(("width", "height"), np.full(tasks, SIZE))
    batches = cut_batches(ids, losses, project_settings({}).rounds, 0)
    digests = [f"{i:032x}" for i in ids.tolist()]  # no two images are identical
    store.set_tasks(project, {"id": ids, "row": ids - 1, "frame": digests, "loss": losses, "batch": batches, **same})
    path = frames_path(settings, _project(store, project))
    with FrameFile(path, (SIZE, SIZE)):
        os.truncate(path, tasks * SIZE * SIZE * 3)  # a look reads no more of it than how long it is


def _project(store: Store, project: int = PROJECT) -> Project:
    found = store.project(project)
    assert found is not None  # noqa: S101 - it was connected
    return found


@cache
def _worker(settings: ServerSettings) -> tuple[Store, Worker]:
    store = Store.open(settings)
    return store, Worker(settings, store)


def look(settings: ServerSettings) -> tuple[float, int, int]:
    """CPU seconds of a look, by how many bytes the peak memory rose above what was held before, and that peak."""
    store, worker = _worker(settings)
    before = forget_peak()
    began = time.process_time()
    worker.handle_request(PROJECT)
    took = time.process_time() - began
    if _project(store).error:
        raise BenchmarkFailed(_project(store).error)
    after = peak(os.getpid())
    return took, after - before, after
