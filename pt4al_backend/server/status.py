"""Where a project stands: all that a status page shows, as /api/projects/{id} gives it. No token and no address is in it."""

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock

import numpy as np
from pydantic import BaseModel, Field, JsonValue

from pt4al_backend.config import ProjectSettings, project_settings
from pt4al_backend.config.catalog import MAIN_TASK_FACTS
from pt4al_backend.engine.labeling import in_force
from pt4al_backend.engine.work_queue import QUEUE_ERRORS
from pt4al_backend.errors import BadRequest, ConfigError, LabelConfigUnsupported, UnknownProject
from pt4al_backend.measures import Control, PretextQuality
from pt4al_backend.phases import Phase
from pt4al_backend.picks import PickKind
from pt4al_backend.progress import Progress
from pt4al_backend.query.plan import fit_schedule
from pt4al_backend.server.requests import project_number
from pt4al_backend.state.schema import Pick, Project, Round
from pt4al_backend.state.store import Store

FRESH_SECONDS = 1.0  # several viewers and the monitoring share one reading of the state
ASIDE_SHOWN = 100
NOTES_SHOWN = 20
ASIDE_COUNTED = 10_000
FULL_BYTES = 32 * 2**20  # free space of a disk that cannot even take what SQLite writes ahead


class RoundStatus(BaseModel):
    """One round, and the model that its labels trained."""

    number: int
    state: str = Field(description="starting, open or closed")
    batch: int = Field(description="PT4AL's batch that it queries; 0 before the ranking")
    opened_at: float
    closed_at: float | None
    labels: int = Field(description="labels that trained its model")
    control: Control
    seconds: dict[str, float]


class PickCount(BaseModel):
    """Picks of one kind in the open round."""

    requested: int = 0
    answered: int = 0


class Picks(BaseModel):
    """The open round's picks by kind."""

    query: PickCount
    control: PickCount
    reserve: PickCount


class TaskCounts(BaseModel):
    """Tasks of a project, by how far they are."""

    tasks: int
    pool: int = Field(description="those with a usable image")
    fetched: int
    scored: int
    labelled: int
    skipped: int
    aside: int


class Aside(BaseModel):
    """One task, and why its image or an annotation cannot be used, or not as it is."""

    task: int
    reason: str


class Trouble(BaseModel):
    """The last error, and what to do about it."""

    message: str
    remedy: str
    at: float | None


class ProjectStatus(BaseModel):
    """One project. Times are seconds since 1970 in UTC."""

    id: int
    title: str
    phase: str
    connected: bool = Field(description="whether Label Studio lists this backend for the project")
    progress: Progress
    eta_seconds: float | None = Field(description="until the phase is done")
    round: int
    rounds: int = Field(description="rounds per sweep over the batches")
    batch_sizes: list[int] = Field(description="tasks in b_1, b_2, …; empty before the ranking")
    query_size: int = Field(description="tasks that a round requests, control picks among them")
    control_size: int
    reserve_size: int
    labels_in: int = Field(description="answered tasks of the open round, skips among them")
    labels_missing: int = Field(description="tasks that the open round still waits for")
    picks: Picks
    tasks: TaskCounts
    model_version: str = Field(description="the version that Label Studio serves; empty before the first")
    control: Control = Field(description="of the newest model")
    history: list[RoundStatus]
    aside_total: int
    aside: list[Aside] = Field(description=f"the first {ASIDE_SHOWN} tasks with an image or an annotation that cannot be used")
    image_notes_total: int = Field(description="images that are used although they were cut short or stretched")
    image_notes: list[Aside] = Field(description=f"the first {NOTES_SHOWN} of them, and what was done to each")
    pretext: PretextQuality
    notices: dict[str, str]
    error: Trouble | None
    webhook_at: float | None = Field(description="the last webhook since the web process started")
    settings: dict[str, JsonValue]


class Statuses:
    """Status of every project, read at most once a second. Safe to share between threads.

    Args:
        store: the state.
        clock: seconds since 1970.
        data_dir: the folder whose disk may be full.
        queue: reads the queue, and raises if that is away.
        hide: takes from a text, and the address that Label Studio gave, what its readers must not learn.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float] = time.time,
        *,
        data_dir: Path | None = None,
        queue: Callable[[], object] | None = None,
        hide: Callable[[str, str], str] = lambda text, _: text,
    ) -> None:
        self._store = store
        self._clock = clock
        self._data_dir = data_dir
        self._queue = queue
        self._hide = hide
        self._lock = Lock()
        self._known: dict[int, tuple[float, ProjectStatus]] = {}
        self._batches: dict[int, tuple[object, list[int]]] = {}
        self._events: dict[int, float] = {}

    def note_event(self, project_id: int) -> None:
        """Remembers when a webhook came; in memory, as the write would wait behind the worker's."""
        self._events[project_id] = self._clock()

    def all(self) -> list[ProjectStatus]:
        """Every connected project, by id."""
        found = [self.of(project_id) for project_id in self._store.project_ids()]
        return [status for status in found if status is not None]

    def of(self, project_id: int) -> ProjectStatus | None:
        """One project; None if it never connected."""
        with self._lock:
            read_at, status = self._known.get(project_id, (0.0, None))
            if status is None or not 0 <= self._clock() - read_at < FRESH_SECONDS:
                project = self._store.project(project_id)
                if project is None:
                    self._known.pop(project_id, None)
                    return None
                status = self._read(project)
                self._known[project_id] = self._clock(), status
            return status

    def drop(self, project_id: int) -> None:
        """Drops what was read of a project that is forgotten."""
        with self._lock:
            self._known.pop(project_id, None)
            self._batches.pop(project_id, None)
            self._events.pop(project_id, None)

    def find(self, reference: str) -> ProjectStatus:
        """The project that an address names.

        Raises:
            UnknownProject: it never connected, or is no project's id at all.
        """
        try:
            status = self.of(project_number(reference))
        except BadRequest:
            status = None
        if status is None:
            raise UnknownProject(reference)
        return status

    def _read(self, project: Project) -> ProjectStatus:
        outage = self._outage(project)
        counts = self._store.counts(project.id)
        past = self._store.rounds(project.id)
        picks = self._store.picks(project.id, project.round) if project.round else []
        options = _options(project)
        schedule = fit_schedule(counts["pool"], options)
        total, aside = self._store.set_aside(project.id, ASIDE_COUNTED)
        noted, notes = self._store.image_notes(project.id, NOTES_SHOWN)
        counted, missing = _counted(picks, self._store.answers(project.id).keys(), {task for task, _ in aside})
        metric = _metric(project)
        return ProjectStatus(
            id=project.id,
            title=project.title or f"Project {project.id}",
            phase=Phase.BLOCKED if outage else project.phase,
            connected=project.let_go_at is None,
            progress=project.progress,
            eta_seconds=project.progress.eta,
            round=project.round,
            rounds=schedule.rounds,
            batch_sizes=self._batch_sizes(project, counts),
            query_size=schedule.query,
            control_size=schedule.control,
            reserve_size=schedule.reserve,
            labels_in=counted.query.requested + counted.control.requested - missing,
            labels_missing=missing,
            picks=counted,
            tasks=TaskCounts.model_validate(counts),
            model_version=project.served_version,
            control=next((_control(each, metric) for each in reversed(past) if each.control.metric), Control(metric=metric)),
            history=[_round(each, metric) for each in past],
            aside_total=total,
            aside=[Aside(task=task, reason=self._hide(reason, project.hostname)) for task, reason in aside[:ASIDE_SHOWN]],
            image_notes_total=noted,
            image_notes=[Aside(task=task, reason=note) for task, note in notes],
            pretext=project.quality,
            notices={topic: self._hide(sentence, project.hostname) for topic, sentence in project.notices.items() if sentence},
            error=outage or self._trouble(project),
            webhook_at=self._events.get(project.id),
            settings=options.model_dump(mode="json"),
        )

    def _trouble(self, project: Project) -> Trouble | None:
        """What stops the project, as the engine wrote it down."""
        if not project.error:
            return None
        message, remedy = (self._hide(text, project.hostname) for text in (project.error, project.remedy))
        return Trouble(message=message, remedy=remedy, at=project.error_at)

    def _outage(self, project: Project) -> Trouble | None:
        """What stops every project and leaves the state readable; the engine cannot write about it there."""
        if self._data_dir is not None and (free := shutil.disk_usage(self._data_dir).free) < FULL_BYTES:
            return Trouble(
                message=self._hide(
                    f"The disk that holds {self._data_dir} is full: {free / 2**20:.0f} MiB are left.", project.hostname
                ),
                remedy="Free some space, or point PT4AL_DATA_DIR to a larger disk. Work then resumes by itself.",
                at=None,
            )
        if self._data_dir is not None and not os.access(self._data_dir, os.W_OK):
            return Trouble(
                message="The data folder cannot be written: webhooks are refused, and nothing is trained.",
                remedy="Make PT4AL_DATA_DIR writable for the user that runs the backend. Work then resumes by itself.",
                at=None,
            )
        try:
            if self._queue is not None:
                self._queue()
        except QUEUE_ERRORS as error:
            return Trouble(
                message=f"The work queue does not answer ({type(error).__name__}): webhooks are refused, nothing is trained.",
                remedy="Start the Redis of PT4AL_REDIS_URL; without one, look after the disk of PT4AL_DATA_DIR. "
                "Work then resumes by itself.",
                at=None,
            )
        return None

    def _batch_sizes(self, project: Project, counts: dict[str, int]) -> list[int]:
        """Reads the whole pool, so only when a ranking or an import can have changed them."""
        key = (project.learner, project.round, counts["tasks"], counts["scored"], counts["pool"])
        known, sizes = self._batches.get(project.id, (None, []))
        if known != key:
            batches = self._store.tasks(project.id).batches
            sizes = np.bincount(batches)[1:].tolist() if len(batches) else []
            self._batches[project.id] = key, sizes
        return sizes


def _options(project: Project) -> ProjectSettings:
    try:
        return project_settings(project.params)
    except ConfigError:
        return project_settings()  # an older version of the backend took them; the engine reports it


def _counted(picks: Iterable[Pick], answered: Iterable[int], aside: set[int]) -> tuple[Picks, int]:
    """The open round's picks by kind, and how many it waits for: those set aside are not waited for."""
    done = set(answered)
    requested, have = Counter[str](), Counter[str]()
    missing = 0
    for pick in picks:
        requested[pick.kind] += 1
        have[pick.kind] += pick.task_id in done
        missing += pick.kind != PickKind.RESERVE and pick.task_id not in done and pick.task_id not in aside
    by_kind = {kind: PickCount(requested=requested[kind], answered=have[kind]) for kind in Picks.model_fields}
    return Picks.model_validate(by_kind), missing


def _metric(project: Project) -> str:
    """What models of the project's labels are measured by."""
    try:
        return MAIN_TASK_FACTS[in_force(project).task].metric
    except LabelConfigUnsupported:
        return MAIN_TASK_FACTS["classification"].metric  # the engine reports it


def _control(each: Round, metric: str) -> Control:
    return each.control if each.control.metric else Control(metric=metric)


def _round(each: Round, metric: str) -> RoundStatus:
    return RoundStatus(
        number=each.number,
        state=each.state,
        batch=each.batch,
        opened_at=each.opened_at,
        closed_at=each.closed_at,
        labels=each.labels,
        control=_control(each, metric),
        seconds={name: float(value) for name, value in each.seconds.items() if isinstance(value, int | float)},
    )
