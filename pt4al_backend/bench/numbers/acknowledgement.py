"""How quickly Label Studio's requests are answered while a training runs on the same machine.

Label Studio waits for a webhook inside the annotator's request, one second at most, and does not send it again.
"""

import json
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from http.client import HTTPConnection
from multiprocessing import get_context
from urllib.parse import urlsplit

from pt4al_backend.bench.numbers.life import CONFIG, Life
from pt4al_backend.bench.numbers.servers import BenchmarkFailed
from pt4al_backend.bench.numbers.table import Line, Times
from pt4al_backend.bench.numbers.workbench import Workbench

WEBHOOK_MS, SETUP_MS = 50.0, 100.0
CLIENTS = 4

LABEL, IMPORT, SETUP, HEALTH = "label", "import", "/setup", "/health"

Request = tuple[str, str, bytes | None]  # what it is, its path, its body


def measure(bench: Workbench) -> list[Line]:
    """One connection that asks and asks again, then four at a time."""
    life = bench.large
    life.start_training()
    requests = _requests(life, bench.sizes.requests)
    lines = []
    for clients in (1, CLIENTS):
        seconds = _together(life.backend, [requests[first::clients] for first in range(clients)])
        series = "one connection" if clients == 1 else f"{clients} connections"
        lines += _lines(series, seconds, requests, life.tasks)
    if not life.is_training():
        raise BenchmarkFailed("The training ended before the last request.", "Measure with fewer --requests.")
    return lines


def _requests(life: Life, count: int) -> list[Request]:
    """``count`` annotations, half as many of /setup and /health each in between, and an import twice."""
    posted = life.bodies()
    setup = {
        "project": f"{life.project}.{int(time.time())}",
        "schema": CONFIG,
        "hostname": life.site.lead.url,
        "access_token": "",
        "extra_params": life.extra_params,
    }
    requests: list[Request] = []
    for k in range(count):
        requests.append((LABEL, "/webhook", posted["ANNOTATION_CREATED"]))
        if k % 2:
            requests += [(SETUP, "/setup", json.dumps(setup).encode()), (HEALTH, "/health", None)]
        if k in (count // 3, 2 * count // 3):
            requests.append((IMPORT, "/webhook", posted["TASKS_CREATED"]))
    return requests


def _together(url: str, parts: list[list[Request]]) -> dict[str, list[float]]:
    """Each part over a connection of its own, by a process of its own: what else this one does must not be measured."""
    context = get_context("spawn")
    ready = context.Barrier(len(parts))
    seconds: dict[str, list[float]] = defaultdict(list)
    with ProcessPoolExecutor(len(parts), context, ready.wait) as clients:
        for found in clients.map(_ask, [url] * len(parts), parts):
            for kind, values in found.items():
                seconds[kind] += values
    return seconds


def _ask(url: str, requests: list[Request]) -> dict[str, list[float]]:
    """Seconds of each request by what it is, over one connection."""
    seconds: dict[str, list[float]] = defaultdict(list)
    connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
    for kind, path, body in requests:
        began = time.perf_counter()
        connection.request("GET" if body is None else "POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        seconds[kind].append(time.perf_counter() - began)
        if response.status != 200:
            raise BenchmarkFailed(f"{path} answered with status {response.status}.")
    connection.close()
    return seconds


def _lines(series: str, seconds: dict[str, list[float]], requests: list[Request], tasks: int) -> list[Line]:
    times = {kind: Times.of(values) for kind, values in seconds.items()}
    lines = []
    for kind, name, bound in (
        (LABEL, "webhook of a label", WEBHOOK_MS),
        (SETUP, "/setup", SETUP_MS),
        (HEALTH, "/health", SETUP_MS),
    ):
        found = times[kind]
        note = f"p50 {found.p50 * 1e3:.1f} ms, longest {found.longest * 1e3:.1f} ms, n = {found.count}"
        lines.append(Line(f"{name}, p99, while {tasks:,} tasks train, {series}", found.p99 * 1e3, "ms", bound, note=note))
    size = next(len(body) for kind, _, body in requests if kind == IMPORT and body) / 1e6
    found = times[IMPORT]
    what = f"webhook of an import ({size:.1f} MB), longest, {series}"
    return [*lines, Line(what, found.longest * 1e3, "ms", WEBHOOK_MS, note=f"n = {found.count}")]
