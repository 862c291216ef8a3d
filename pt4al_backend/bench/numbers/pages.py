"""What the pages of a large project cost: the first answer of a fresh web process, bytes, and until the map is drawn in Chromium.

The state is filled as for the looks; the map's layout and the quality are made up, since what they say costs nothing. The same
pages of a small project tell in the same run how much of the cost grows with the pool.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
import requests
import uvicorn

from pt4al_backend import artefacts
from pt4al_backend.analysis.layout import Layout
from pt4al_backend.bench.numbers.looking import PROJECT, fill
from pt4al_backend.bench.numbers.servers import BenchmarkFailed
from pt4al_backend.bench.numbers.table import Line
from pt4al_backend.bench.numbers.workbench import Workbench
from pt4al_backend.config import ServerSettings, server_settings
from pt4al_backend.demo.browser import chromium, chromium_command
from pt4al_backend.engine.insights.quality_file import Facts, Grouped, Judged, Labels, Quality
from pt4al_backend.processes import keep_what_is_loaded
from pt4al_backend.server.app import create_app
from pt4al_backend.server.rendering import TABS
from pt4al_backend.state.paths import project_dir
from pt4al_backend.state.schema import Project

TASKS, FEW = 100_000, 1_000
#: Of labels.
CLASSES = 1_000
#: How many times as long a page of the large project may take as one of the small, which has a hundredth of the tasks.
MOST_TIMES = 5.0
GROUPS = 100
ANSWERS = 5
SECONDS = 60.0
DRAWN = "#map[data-drawn]"


def measure(bench: Workbench) -> list[Line]:
    """A row for each page, for the two answers behind the map, and for the map in a browser if there is one."""
    pages = {f"page {words!r}": f"/projects/{PROJECT}/{tab}".rstrip("/") for tab, words in TABS.items()}
    answers = {"places of the map": f"/api/projects/{PROJECT}/map", "colours of the map": f"/api/projects/{PROJECT}/map/colours"}
    lines, later = [], {}
    with _served(_filled(bench, "few", FEW)) as url:
        small = {what: _answers(url + path)[0] for what, path in pages.items()}
    with _served(_filled(bench, "pages", TASKS)) as url:
        for what, path in {**pages, **answers}.items():
            seconds, size = _answers(url + path)
            later[what] = median(seconds[1:])
            note = f"then {1e3 * later[what]:.0f} ms, median of {ANSWERS}; {size / 1e3:,.0f} kB sent"
            lines.append(Line(f"{what} at {TASKS:,} tasks, first answer", 1e3 * seconds[0], "ms", note=note))
        for what, seconds in small.items():
            times, note = later[what] / median(seconds[1:]), f"medians of {ANSWERS} answers after the first"
            lines.append(Line(f"{what}, {TASKS:,} tasks against {FEW:,}", times, "times", MOST_TIMES, note=note))
        if chromium_command() is not None:
            lines.append(_drawn(url, bench.folder / "chromium"))
    return lines


def _filled(bench: Workbench, name: str, tasks: int) -> ServerSettings:
    """The settings of a state with so many tasks, all of them on the map and judged."""
    settings = server_settings(data_dir=bench.folder / name, device="cpu", pretrained="off")
    fill(settings, tasks)
    _lay_out(settings, tasks)
    _judge(settings, tasks)
    return settings


def _answers(url: str) -> tuple[list[float], int]:
    """Seconds of each answer, and bytes of the first."""
    found = [_answer(url) for _ in range(1 + ANSWERS)]
    return [seconds for seconds, _ in found], found[0][1]


def _answer(url: str) -> tuple[float, int]:
    """Seconds until an answer is complete, and bytes of its body as they are sent."""
    began = time.perf_counter()
    with requests.get(url, headers={"Accept": "text/html, application/json"}, stream=True, timeout=SECONDS) as answer:
        body = answer.raw.read(decode_content=False)
        took = time.perf_counter() - began
    if answer.status_code != 200:
        raise BenchmarkFailed(f"{url} answered with status {answer.status_code}.")
    return took, len(body)


def _drawn(url: str, profile: Path) -> Line:
    """From opening the map to its points."""
    with chromium(profile) as context:
        page = context.pages[0]
        began = time.perf_counter()
        page.goto(f"{url}/projects/{PROJECT}/map")
        page.wait_for_selector(DRAWN, timeout=1e3 * SECONDS)
        drawn = time.perf_counter() - began
        began = time.perf_counter()
        page.locator("#colour").select_option("batch")
        page.wait_for_selector(f"{DRAWN}[data-drawn=batch]", timeout=1e3 * SECONDS)
        again = time.perf_counter() - began
    note = f"in Chromium, drawn by the processor; {again:.2f} s for another colour"
    return Line(f"map of {TASKS:,} images, from opening it to its points", drawn, "s", note=note)


def _lay_out(settings: ServerSettings, tasks: int) -> None:
    """A layout of groups, as the worker would leave it."""
    rng = np.random.default_rng(0)
    of = rng.integers(0, GROUPS, tasks)
    positions = (40 * rng.normal(size=(GROUPS, 2))[of] + rng.normal(size=(tasks, 2))).astype(np.float32)
    nothing = np.empty((tasks, 0), np.float32)
    facts = {"fingerprint": "made up", "images": tasks, "laid_out": tasks, "without_features": 0, "made_at": time.time()}
    with artefacts.writing(project_dir(settings, Project(id=PROJECT)) / "layout-1" / "result", **facts) as folder:
        np.save(folder / "tasks.npy", np.arange(1, tasks + 1))
        np.save(folder / "rows.npy", np.arange(tasks))
        Layout(positions, nothing, np.empty(0, np.float32), np.empty((0, 0), np.float32)).save(folder)


def _judge(settings: ServerSettings, tasks: int) -> None:
    """A quality as the worker would leave it: each task judged, a tenth suspects, a tenth in groups, half control picks."""
    rng, ids = np.random.default_rng(0), np.arange(1, tasks + 1)
    labels, sure = rng.integers(0, CLASSES, tasks), rng.random(tasks)
    suspects, grouped = tasks // 10, tasks // 20 * 2
    answers = np.where(np.arange(tasks) < suspects, (labels + 1) % CLASSES, labels)
    names, half = [f"class {number}" for number in range(CLASSES)], tasks // 2
    counts = np.bincount(labels, minlength=CLASSES)
    Quality(
        Facts(key="made up", at=time.time(), names=names, suspects=suspects, compared=tasks, control_labels=half),
        Judged(ids, labels, answers, sure, 1 - sure),
        Labels(ids[:half], labels[:half], answers[:half]),
        Grouped(ids[:grouped], np.arange(grouped) // 2, np.ones(grouped)),
        counts,
        counts // 2,
        np.array(names),
    ).save(project_dir(settings, Project(id=PROJECT)), lambda: None)


@contextmanager
def _served(settings: ServerSettings) -> Iterator[str]:
    """The address of a fresh web process."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        process = get_context("fork").Process(target=_serve, args=(settings, listening), daemon=True)
        process.start()
        try:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            requests.get(f"{url}/health", timeout=SECONDS).raise_for_status()
            yield url
        finally:
            process.terminate()
            process.join()


def _serve(settings: ServerSettings, listening: socket.socket) -> None:
    app = create_app(settings)
    keep_what_is_loaded()
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])
