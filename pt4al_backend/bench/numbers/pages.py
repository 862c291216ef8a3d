"""What the pages of a large project cost: the first answer of a fresh web process, bytes, and until the map is drawn in Chromium.

The state is filled as for the looks; the map's layout is made up, since where the points lie costs nothing.
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
from pt4al_backend.bench.numbers.looking import PROJECT, fill
from pt4al_backend.bench.numbers.servers import BenchmarkFailed
from pt4al_backend.bench.numbers.table import Line
from pt4al_backend.bench.numbers.workbench import Workbench
from pt4al_backend.config import ServerSettings, server_settings
from pt4al_backend.demo.browser import chromium, chromium_command
from pt4al_backend.insight.layout import Layout
from pt4al_backend.processes import keep_what_is_loaded
from pt4al_backend.server.app import create_app
from pt4al_backend.server.rendering import TABS
from pt4al_backend.state.paths import project_dir

TASKS = 100_000
GROUPS = 100
ANSWERS = 5
SECONDS = 60.0
DRAWN = "#map[data-drawn]"


def measure(bench: Workbench) -> list[Line]:
    """A row for each page, for the two answers behind the map, and for the map in a browser if there is one."""
    settings = server_settings(data_dir=bench.folder / "pages", device="cpu", pretrained="off")
    fill(settings, TASKS)
    _lay_out(settings)
    pages = {f"page {words!r}": f"/projects/{PROJECT}/{tab}".rstrip("/") for tab, words in TABS.items()}
    answers = {"places of the map": f"/api/projects/{PROJECT}/map", "colours of the map": f"/api/projects/{PROJECT}/map/colours"}
    lines = []
    with _served(settings) as url:
        for what, path in {**pages, **answers}.items():
            seconds, size = zip(*(_answer(url + path) for _ in range(1 + ANSWERS)), strict=True)
            note = f"then {1e3 * median(seconds[1:]):.0f} ms, median of {ANSWERS}; {size[0] / 1e3:,.0f} kB sent"
            lines.append(Line(f"{what} at {TASKS:,} tasks, first answer", 1e3 * seconds[0], "ms", note=note))
        if chromium_command() is not None:
            lines.append(_drawn(url, bench.folder / "chromium"))
    return lines


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


def _lay_out(settings: ServerSettings) -> None:
    """A layout of groups, as the worker would leave it."""
    rng = np.random.default_rng(0)
    of = rng.integers(0, GROUPS, TASKS)
    positions = (40 * rng.normal(size=(GROUPS, 2))[of] + rng.normal(size=(TASKS, 2))).astype(np.float32)
    nothing = np.empty((TASKS, 0), np.float32)
    facts = {"fingerprint": "made up", "images": TASKS, "laid_out": TASKS, "without_features": 0, "made_at": time.time()}
    with artefacts.writing(project_dir(settings, PROJECT) / "layout-1" / "result", **facts) as folder:
        np.save(folder / "tasks.npy", np.arange(1, TASKS + 1))
        np.save(folder / "rows.npy", np.arange(TASKS))
        Layout(positions, nothing, np.empty(0, np.float32), np.empty((0, 0), np.float32)).save(folder)


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
