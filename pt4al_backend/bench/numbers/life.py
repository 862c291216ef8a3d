"""One project's first round on a backend of its own: connected, ranked, labelled, trained, served in a new order."""

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

import requests

from pt4al_backend.aliases import Json
from pt4al_backend.bench.numbers import servers
from pt4al_backend.bench.numbers.footprint import Footprint
from pt4al_backend.bench.numbers.pictures import CLASSES, Pictures, PictureServer
from pt4al_backend.bench.numbers.recorder import Recorder, recorder
from pt4al_backend.bench.numbers.servers import BenchmarkFailed
from pt4al_backend.config import ServerSettings, server_settings
from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.engine.work_queue import WorkQueue
from pt4al_backend.label_studio import label_config
from pt4al_backend.label_studio.classification import ClassificationReader
from pt4al_backend.label_studio.client import LabelStudio
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.processes import wait_until
from pt4al_backend.state.paths import project_dir
from pt4al_backend.state.schema import Project, RoundState
from pt4al_backend.state.store import Store

CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="digit" toName="image">'
    + "".join(f'<Choice value="{name}"/>' for name in CLASSES)
    + "</Choices></View>"
)
IMPORTED_AT_ONCE = 5000  # new tasks that Label Studio names in one webhook
PATIENCE = 900.0  # seconds for any one step; a machine without AVX-512 trains slowly


@dataclass(frozen=True)
class Site:
    """A running Label Studio's admin, at the pages and with a token at the API, and the pictures that its tasks show."""

    lead: Annotator
    token: str
    served: PictureServer
    pictures: Pictures

    @cached_property
    def client(self) -> LabelStudio:
        """Label Studio's API."""
        return LabelStudio(self.lead.url, self.token)


@dataclass(frozen=True)
class Turn:
    """When each step of a turnaround happened, in seconds since 1970, from the last label on; and who took how long."""

    labelled: float
    noticed: float
    synced: float
    prepared: float
    started: float
    trained: float
    requested: float
    imported: float
    live: float
    seconds: dict[str, float] = field(default_factory=dict)


class Life:
    """A project of ``tasks`` pictures. Every step is taken when it is first asked for, after those before it.

    Args:
        extra_params: the project's settings. The turnaround does not depend on ``pretext_epochs``.
        stack: ends the processes, at the latest.
    """

    def __init__(self, site: Site, tasks: int, folder: Path, extra_params: Json, stack: ExitStack) -> None:
        self.site = site
        self.tasks = tasks
        self._folder = folder
        self._stack = stack.enter_context(ExitStack())
        self.extra_params = extra_params
        self.seconds_to_first_query = (
            0.0  #: from connecting the backend to a query that knows the ranking, once ``turn`` is there
        )

    @cached_property
    def backend(self) -> str:
        """The running backend's address, once the project is connected."""
        backend = self._stack.enter_context(servers.backend(self._folder, self._recorder.url, self.site.token))
        self._footprint = self._stack.enter_context(Footprint())
        lead = self.site.lead
        self.project = lead.create_project(f"{self.tasks} pictures", CONFIG)
        self.posted = len(self.site.served.posted)
        hook = {"project": self.project, "url": f"{self.site.served.url}/", "send_payload": True, "send_for_all_actions": True}
        self._hook = int(self.site.client.request("POST", "/api/webhooks/", json=hook)["id"])
        self._ids: list[int] = []
        for start in range(0, self.tasks, IMPORTED_AT_ONCE):
            numbers = range(start, min(start + IMPORTED_AT_ONCE, self.tasks))
            self._ids += lead.import_tasks(self.project, [{"data": {"image": self.site.served.address(k)}} for k in numbers])
        self._connected = time.monotonic()
        lead.connect_backend(self.project, backend, extra_params=self.extra_params)
        return backend

    @cached_property
    def _recorder(self) -> Recorder:
        return self._stack.enter_context(recorder(self.site.lead.url))

    @cached_property
    def _settings(self) -> ServerSettings:
        return server_settings(data_dir=self._folder)

    @cached_property
    def _store(self) -> Store:
        assert self.backend  # noqa: S101 - it makes the store
        store = Store.open(self._settings)
        self._stack.callback(store.close)
        return store

    def status(self) -> Json:
        """What the status API says of the project."""
        return dict(requests.get(f"{self.backend}/api/projects/{self.project}", timeout=10).json())

    def is_training(self) -> bool:
        """Whether the pretext learner trains at this moment; not before the first of its minibatches."""
        status = self.status()
        if status["error"]:
            raise BenchmarkFailed(f"{status['error']['message']} {status['error']['remedy']}")
        return bool(status["phase"] == "pretext" and status["progress"].get("done"))

    def start_training(self) -> None:
        """Returns when the pretext learner has begun to train."""
        assert self.backend  # noqa: S101 - starts it
        wait_until(self.is_training, PATIENCE, "the pretext learner trains")

    def bodies(self) -> dict[str, bytes]:
        """What Label Studio posts to this project's webhooks: for an annotation, and for an import."""
        first = self._store.picks(self.project, 1)[0].task_id
        self._label(first)
        self.site.client.request("DELETE", f"/api/webhooks/{self._hook}/")
        posted = self.site.served.posted[self.posted :]
        return {
            name: next(body for body in posted if name.encode() in body[:60]) for name in ("TASKS_CREATED", "ANNOTATION_CREATED")
        }

    def _label(self, task_id: int) -> Json:
        label = self.site.pictures.label(self._ids.index(task_id))
        number = self.site.lead.annotate(task_id, ClassificationReader(label_config.parse(CONFIG)).regions(label, None, None))
        return dict(self.site.client.request("GET", f"/api/annotations/{number}/"))

    @property
    def _state(self) -> Project:
        project = self._store.project(self.project)
        assert project is not None  # noqa: S101 - connecting made it
        return project

    def _is_quiet(self) -> bool:
        return self._state.requests_handled == self._state.requests and self._queue.waiting() == 0

    @cached_property
    def _queue(self) -> WorkQueue:
        return WorkQueue(self._settings)

    def _is_served(self, number: int) -> bool:
        state = self._state
        if state.error:
            raise BenchmarkFailed(f"{state.error} {state.remedy}")
        round_ = self._store.round(self.project, number)
        return bool(
            round_ is not None
            and round_.state == RoundState.OPEN
            and state.served_version.startswith(f"pt4al-r{number}-")
            and self._is_quiet()
        )

    @cached_property
    def turn(self) -> Turn:
        """The turnaround from round 1 to round 2; the annotators' labels come while nothing else runs."""
        assert self.backend  # noqa: S101 - starts it
        wait_until(lambda: self._is_served(1) and self._state.phase == "labelling", PATIENCE, "round 1 is ranked and served")
        self.seconds_to_first_query = time.monotonic() - self._connected
        answered = self._store.answers(self.project)
        query = [pick.task_id for pick in self._store.picks(self.project, 1) if pick.kind != PickKind.RESERVE]
        waiting = [task_id for task_id in query if task_id not in answered]
        for task_id in waiting[:-1]:
            self._label(task_id)
        wait_until(
            lambda: len(self._store.answers(self.project)) >= len(query) - 1 and self._is_quiet(), PATIENCE, "labels are in"
        )
        labelled = self._label(waiting[-1])
        wait_until(lambda: self._is_served(2), PATIENCE, "round 2 is served")
        turn = self._turn(datetime.fromisoformat(labelled["created_at"]).timestamp())
        first = next(pick.task_id for pick in self._store.picks(self.project, 2))
        served = self.site.lead.next_task(self.project)
        if served is None or served["id"] != first:
            raise BenchmarkFailed(f"Label Studio serves task {served and served['id']}, not {first}, the first of round 2.")
        return turn

    def _turn(self, labelled: float) -> Turn:
        """Reads the steps off what the relay saw, and off the files of the training child."""
        job = project_dir(self._settings, self._state) / "learn-1"
        prepared, started = (job / "job.json").stat().st_mtime, (job / "lock").stat().st_mtime
        trained = (job / "result" / "manifest.json").stat().st_mtime
        imported = self._recorder.last("POST", f"/api/projects/{self.project}/import/predictions", trained)
        live = self._recorder.last("PATCH", f"/api/projects/{self.project}/", trained)
        before = self._recorder.between(labelled, prepared)
        if imported is None or live is None or not before:
            raise BenchmarkFailed("The relay has not seen the new order being published.")
        round_ = self._store.round(self.project, 1)
        assert round_ is not None  # noqa: S101 - it was labelled
        return Turn(
            labelled,
            before[0].began,
            before[-1].ended,
            prepared,
            started,
            trained,
            imported.began,
            imported.ended,
            live.ended,
            dict(round_.seconds),
        )

    @cached_property
    def memory(self) -> dict[str, int]:
        """Peak memory of each process by the end of the turnaround, in bytes; ends the backend.

        That of the web process again after it has loaded the model, which somebody who opens an unpublished task causes.
        """
        assert self.turn  # noqa: S101 - leads the life to its end
        largest = self._footprint.look()
        unpublished = set(self._ids) - {pick.task_id for pick in self._store.picks(self.project, 2)}
        tasks = [{"id": i, "data": {"image": self.site.served.address(self._ids.index(i))}} for i in sorted(unpublished)[:8]]
        body = {"project": f"{self.project}.0", "tasks": tasks}
        requests.post(f"{self.backend}/predict", json=body, timeout=60).raise_for_status()
        largest["web process with a model"] = self._footprint.look()["web process"]
        self._stack.close()
        return largest
