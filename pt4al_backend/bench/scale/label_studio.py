"""What a real Label Studio on PostgreSQL takes for a large project: import in slices, sync, publishing a query, the next task.

Tasks come in by its API and name images that nobody fetches. No backend is connected, so no webhook is sent.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psutil
from sqlalchemy import create_engine, make_url, text

from pt4al_backend.bench.numbers.footprint import forget_peak, peak
from pt4al_backend.bench.numbers.looking import CONFIG
from pt4al_backend.bench.numbers.measuring import err
from pt4al_backend.bench.numbers.stopwatch import seconds_of
from pt4al_backend.bench.numbers.table import Line, number
from pt4al_backend.bench.numbers.workbench import Workbench
from pt4al_backend.config import server_settings
from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.demo.databases import postgresql
from pt4al_backend.demo.servers import HOST, LabelStudio
from pt4al_backend.engine.access import label_reader_for
from pt4al_backend.engine.publish import ServedQueue
from pt4al_backend.engine.sync import Sync
from pt4al_backend.label_studio import client
from pt4al_backend.label_studio.label_config import parse
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.state.schema import Pick
from pt4al_backend.state.store import Store

SLICE = 5_000  # tasks of one import: what Label Studio names in one webhook
QUERY = 400
FLAG = "fflag_fix_back_4620_memory_efficient_predictions_import_08012025_short"
EMAIL, PASSWORD = "bench@example.com", "for-this-run-alone"
PATIENCE = (3.05, 3600.0)
MB = 1e6


def measure(bench: Workbench) -> list[Line]:
    """One row for each step, which is told as soon as it is there, too: a large project takes the better part of an hour."""
    lines = []
    for line in _steps(bench):
        err.print(f"  {line.what}: {number(line.value)} {line.unit} {line.note}")
        lines.append(line)
    return lines


def _steps(bench: Workbench) -> Iterator[Line]:
    """Publishing is measured without and with Label Studio's flag for large projects."""
    folder, count = bench.folder / "studio", bench.sizes.large
    forget_peak()
    with postgresql() as url:
        database = _settings(url)
        with _studio(bench.command, folder, database, {}) as lead:
            token, project = lead.create_personal_access_token(), lead.create_project("Large", CONFIG)
            ids, slices = _import(lead, project, count)
            yield Line(f"importing {count:,} tasks, {SLICE:,} at once", sum(slices), "s")
            yield Line("— the first slice, and in the note the last one", slices[0], "s", note=f"{slices[-1]:.1f} s")
            yield from _sync(folder, lead.url, token, project)
            yield Line(f"publishing {QUERY} picks", _publish(folder, lead.url, token, project, ids, 1), "s", note="n = 1")
            yield Line("the next task", _median(lambda: lead.next_task(project)), "s", note="median of 5")
            yield Line("peak memory of Label Studio's process", _studio_peak(bench.command) / MB, "MB")
        with _studio(bench.command, folder, database, {FLAG: "true"}) as lead:
            seconds = _publish(folder, lead.url, token, project, ids, 2)
            yield Line(f"publishing {QUERY} picks, with the flag", seconds, "s", note="n = 1")
            yield Line("— peak memory of Label Studio's process meanwhile", _studio_peak(bench.command) / MB, "MB")
        yield Line("peak memory of the process that syncs and publishes", peak(os.getpid()) / MB, "MB")
        yield Line("size of Label Studio's database", _database_bytes(url) / MB, "MB")


def _studio_peak(command: Path) -> int:
    """The most memory that the running Label Studio has held, in bytes; its guard holds next to nothing."""
    started = psutil.Process().children(recursive=True)
    return max(peak(each.pid) for each in started if str(command.absolute()) in each.cmdline())


def _database_bytes(url: str) -> int:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
    finally:
        engine.dispose()


def _import(lead: Annotator, project: int, total: int) -> tuple[list[int], list[float]]:
    """The tasks' ids, and the seconds of each slice."""
    ids: list[int] = []
    seconds = []
    for start in range(0, total, SLICE):
        count = min(SLICE, total - start)
        tasks = [{"data": {"image": f"https://images.example.org/{start + k:08d}.jpg"}} for k in range(count)]
        began = time.monotonic()
        ids += lead.import_tasks(project, tasks)
        seconds.append(time.monotonic() - began)
    return ids, seconds


def _sync(folder: Path, url: str, token: str, project: int) -> list[Line]:
    """The first pass over all tasks, a full pass over those that are known, and the state on SQLite."""
    settings = server_settings(data_dir=folder / "state")
    store = Store.open(settings)
    try:
        store.connect(project, label_config=CONFIG)
        row = store.project(project)
        assert row is not None  # noqa: S101 - just connected
        sync = Sync(store, client.LabelStudio(url, token), row, label_reader_for(settings, row, parse(CONFIG)))
        first, again = seconds_of(sync.increment), seconds_of(sync.full)
    finally:
        store.close()
    return [Line("the first sync", first, "s"), Line("a full pass over them", again, "s")]


def _publish(folder: Path, url: str, token: str, project: int, ids: list[int], round_number: int) -> float:
    settings = server_settings(data_dir=folder / "state")
    store = Store.open(settings)
    try:
        row = store.project(project)
        assert row is not None  # noqa: S101 - `_sync` has connected it
        reader = label_reader_for(settings, row, parse(CONFIG))
        queue = ServedQueue(store, client.LabelStudio(url, token), row, reader, show_predictions=True)
        same = {"project_id": project, "round": round_number, "kind": PickKind.QUERY, "label": "", "confidence": 0.5}
        chosen = ids[:: max(1, len(ids) // QUERY)][:QUERY]
        picks = [Pick(**same, task_id=i, position=k, score=k / QUERY) for k, i in enumerate(chosen)]
        return seconds_of(lambda: queue.publish(round_number, picks))
    finally:
        store.close()


def _median(work: Callable[[], object]) -> float:
    return median(seconds_of(work) for _ in range(5))


def _settings(url: str) -> dict[str, str]:
    """What Label Studio finds the database of a URL by."""
    at = make_url(url)
    where = {"POSTGRE_HOST": at.host or HOST, "POSTGRE_PORT": str(at.port), "POSTGRE_NAME": at.database or ""}
    return {**where, "POSTGRE_USER": at.username or "", "POSTGRE_PASSWORD": "none"}


@contextmanager
def _studio(command: Path, folder: Path, database: Mapping[str, str], flags: Mapping[str, str]) -> Iterator[Annotator]:
    """Label Studio on that database, and its admin, signed in."""
    folder.mkdir(parents=True, exist_ok=True)
    # The key that tokens are signed with: Label Studio makes one up, and may not read it again at its second start.
    settings = {"DJANGO_DB": "default", "SECRET_KEY": PASSWORD, **database, **flags}
    server = LabelStudio(command, folder, EMAIL, PASSWORD, settings=settings)
    with (folder / "lock").open("wb") as lock, server.running(lock):
        lead = Annotator(server.url, EMAIL, PASSWORD, timeout=PATIENCE)
        lead.log_in()
        yield lead
