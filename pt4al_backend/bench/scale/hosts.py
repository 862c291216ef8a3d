"""Two hosts on one project, each of which is killed again and again: what is lost, what is published twice, and who goes on.

A host is a worker process with a data folder of its own. The two share PostgreSQL, Redis and an object store, and no disk. The
store is moto's S3 server where the extras ``s3`` and ``dev`` are installed, else a folder. Label Studio is real.
"""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import requests

from pt4al_backend.bench.numbers import servers
from pt4al_backend.bench.numbers.life import CONFIG
from pt4al_backend.bench.numbers.pictures import Pictures, picture_server
from pt4al_backend.bench.numbers.servers import BenchmarkFailed
from pt4al_backend.bench.numbers.table import Line
from pt4al_backend.bench.numbers.workbench import Workbench
from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.demo.databases import postgresql, redis
from pt4al_backend.demo.servers import HOST, free_port
from pt4al_backend.label_studio import label_config
from pt4al_backend.label_studio.classification import ClassificationReader
from pt4al_backend.label_studio.client import LabelStudio
from pt4al_backend.processes import ProcessGroup, wait_until
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store

KILLS, TASKS, SEED = 30, 300, 0
#: Seconds between two kills, and until a killed host is started again: drawn evenly from these.
BETWEEN, DOWN = (1.0, 7.0), (0.0, 2.0)
READY = "Waiting for work."
LABEL_SECONDS = 0.6  # between two labels
PATIENCE = 300.0
PARAMS = {
    "rounds": 60,
    "query_size": 6,
    "reserve_size": 12,
    "control_share": 0.17,
    "pretext_epochs": 1,
    "epochs": 12,
    "width": 8,
    "encoder": "resnet18",
}
BUCKET = "bench"
KEYS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass
class Host:
    """One host: its worker, which may be killed and started again."""

    folder: Path
    environment: Mapping[str, str]
    worker: ProcessGroup | None = None
    starts_at: float = 0.0
    kills: int = 0

    def keep_up(self) -> None:
        """Starts the worker if it is due."""
        if self.worker is None and time.monotonic() >= self.starts_at:
            self.folder.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, "-m", "pt4al_backend", "worker", "--supervised"]
            own = {**self.environment, "PT4AL_DATA_DIR": str(self.folder / "data")}
            with (self.folder / "worker.log").open("ab") as output:
                self.worker = ProcessGroup(command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, env=own)

    def is_up(self) -> bool:
        """Whether the worker has begun to work since it was started."""
        return self.worker is not None and (self.folder / "worker.log").read_text().count(READY) > self.kills

    def kill(self, down: float) -> None:
        """Kills the worker and its children as a power cut does."""
        if self.worker is not None:
            self.worker.kill()
            self.worker, self.kills = None, self.kills + 1
            self.starts_at = time.monotonic() + down


@dataclass
class Run:
    """What is done to the two hosts, and what was seen."""

    store: Store
    lead: Annotator
    client: LabelStudio
    project: int
    numbers: Mapping[int, int]
    hosts: list[Host]
    given: dict[int, str] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    killed_at: list[float] = field(default_factory=list)
    handled: int = 0
    labelled_at: float = 0.0

    def lead_through(self) -> None:
        """Kills a host at random, again and again, while somebody labels; then lets both work until they are quiet."""
        rng = np.random.default_rng(SEED)
        self._until(lambda: self.row.round > 0, "the first round is open")
        for _ in range(KILLS):
            self._pass(rng.uniform(*BETWEEN))
            victim = self.hosts[int(rng.integers(len(self.hosts)))]
            self._until(victim.is_up, "the host that is to be killed is up")
            victim.kill(rng.uniform(*DOWN))
            self.killed_at.append(time.monotonic())
        self._until(self._is_quiet, "both hosts are quiet", label=False)

    @property
    def row(self) -> Project:
        """The project as the state has it."""
        found = self.store.project(self.project)
        assert found is not None  # noqa: S101 - it is connected
        return found

    @property
    def lost(self) -> int:
        """Labels that the state does not have as they were given."""
        answers = self.store.answers(self.project)
        return sum(task not in answers or answers[task].label != label for task, label in self.given.items())

    def twice(self) -> int:
        """Predictions in Label Studio beyond the first of a task and a version."""
        found = self.client.request("GET", "/api/predictions/", params={"project": self.project})
        counts = Counter((each["task"], each["model_version"]) for each in found)
        return sum(counts.values()) - len(counts)

    def _until(self, is_so: Callable[[], bool], what: str, *, label: bool = True) -> None:
        wait_until(lambda: self._tick(label=label) and is_so(), PATIENCE, what)

    def _pass(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self._until(lambda: time.monotonic() > end, "the next kill is due")

    def _tick(self, *, label: bool = True) -> bool:
        for host in self.hosts:
            host.keep_up()
        handled, now = self.row.requests_handled, time.monotonic()
        if handled != self.handled:
            self.waits += [now - at for at in self.killed_at]
            self.handled, self.killed_at = handled, []
        if label and time.monotonic() - self.labelled_at > LABEL_SECONDS:
            self.labelled_at = time.monotonic()
            self._label()
        return True

    def _label(self) -> None:
        task = self.lead.next_task(self.project)
        if task is not None and task["id"] not in self.given:
            label = Pictures().label(self.numbers[task["id"]])
            self.lead.annotate(task["id"], ClassificationReader(label_config.parse(CONFIG)).regions(label, None, None))
            self.given[task["id"]] = label

    def _is_quiet(self) -> bool:
        row = self.row
        return row.phase == "labelling" and not row.error and self.lost == 0 and row.requests == row.requests_handled


def measure(bench: Workbench) -> list[Line]:
    """What was lost and published twice, which must be nothing; how many rounds were trained; how long nobody went on."""
    with ExitStack() as stack:
        run, began = _begin(bench.command, bench.folder / "hosts", stack), time.monotonic()
        run.lead_through()
        rounds = sum(bool(each.model) for each in run.store.rounds(run.project))
        minutes = (time.monotonic() - began) / 60
        store = "S3 of moto" if _has_moto() else "a folder"
        kills = " and ".join(str(host.kills) for host in run.hosts)
        what = f"two hosts with PostgreSQL, Redis and {store} in common, killed {kills} times in {minutes:.0f} minutes: "
        waits = f"n = {len(run.waits)}, median {median(run.waits):.1f} s"
        return [
            Line(f"{what}labels lost", run.lost, f"of {len(run.given)}"),
            Line("— predictions published twice", run.twice(), ""),
            Line("— rounds trained", rounds, ""),
            Line("— longest time from a kill until a look was through", max(run.waits), "s", note=waits),
        ]


def _begin(command: Path, folder: Path, stack: ExitStack) -> Run:
    """Starts all that the hosts share, and connects a project; the hosts are started with the first tick."""
    folder.mkdir(parents=True)
    lead = stack.enter_context(servers.label_studio(command, folder / "label-studio"))
    token = lead.create_personal_access_token()
    pictures = stack.enter_context(picture_server(Pictures(), TASKS))
    database = stack.enter_context(postgresql())
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PT4AL_", "LABEL_STUDIO_"))},
        **stack.enter_context(_object_store(folder)),
        "LABEL_STUDIO_URL": lead.url,
        "LABEL_STUDIO_API_KEY": token,
        "PT4AL_DATABASE_URL": database,
        "PT4AL_REDIS_URL": stack.enter_context(redis(folder)),
        "PT4AL_DEVICE": "cpu",
        "PT4AL_PRETRAINED": "off",
        "PT4AL_IMAGE_HOSTS": HOST,
        "PT4AL_POLL_SECONDS": "1",
        "OMP_NUM_THREADS": "1",
    }
    project = lead.create_project("Two hosts", CONFIG)
    ids = lead.import_tasks(project, [{"data": {"image": pictures.address(k)}} for k in range(TASKS)])
    store = Store(database)
    store.migrate()
    stack.callback(store.close)
    # nobody serves /setup, so Label Studio lists no backend
    store.connect(project, "bench", label_config=CONFIG, params=PARAMS, hostname=lead.url, setup_at=time.time() + 86_400)
    hosts = [Host(folder / name, environment) for name in ("one", "other")]
    for host in hosts:
        stack.callback(host.kill, 0.0)
    numbers = {task: k for k, task in enumerate(ids)}
    return Run(store, lead, LabelStudio(lead.url, token), project, numbers, hosts)


def _has_moto() -> bool:
    return all(find_spec(name) for name in ("s3fs", "moto", "flask"))


@contextmanager
def _object_store(folder: Path) -> Iterator[dict[str, str]]:
    """What names the store that the hosts share, as environment variables."""
    if not _has_moto():
        yield {"PT4AL_ARTEFACTS_URL": f"file://{folder}/store"}
        return
    port = free_port()
    url = f"http://{HOST}:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)]
    server = ProcessGroup(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: server.poll() is not None or _makes_bucket(url), 60, "the S3 server answers")
        if server.poll() is not None:
            raise BenchmarkFailed("The S3 server did not start.")
        yield {**KEYS, "AWS_ENDPOINT_URL": url, "PT4AL_ARTEFACTS_URL": f"s3://{BUCKET}/pt4al"}
    finally:
        server.kill()


def _makes_bucket(url: str) -> bool:
    try:
        return requests.put(f"{url}/{BUCKET}", timeout=5).ok
    except requests.ConnectionError:
        return False
