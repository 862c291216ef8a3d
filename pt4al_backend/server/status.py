"""Where a project stands: all that a status page shows, as /api/projects/{id} gives it. No token and no address is in it."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from pt4al_backend.config import ProjectSettings, project_settings
from pt4al_backend.config.catalog import MAIN_TASK_FACTS
from pt4al_backend.engine import served_model
from pt4al_backend.engine.insights.last_found import Found
from pt4al_backend.engine.insights.pool_estimate import FULL, Estimated, estimate_of
from pt4al_backend.engine.labeling_config import in_force
from pt4al_backend.engine.rounds import QUERY
from pt4al_backend.errors import ConfigError, LabelConfigUnsupported, UnknownProject
from pt4al_backend.measures import Control, PretextQuality
from pt4al_backend.phases import Phase
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.progress import Progress
from pt4al_backend.query.plan import fit_schedule, for_task
from pt4al_backend.server.outage import Outages, Trouble
from pt4al_backend.server.requests import addressed_project
from pt4al_backend.state.copies import MEMBERS_SHOWN
from pt4al_backend.state.outstanding import PickProgress
from pt4al_backend.state.paths import project_below
from pt4al_backend.state.rounds import PastRound
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store

FRESH_SECONDS = 1.0  # several viewers and the monitoring share one reading of the state
WHOLE_SECONDS = 20.0  # a first import writes tasks for minutes before its project's row changes
ASIDE_SHOWN = 100
NOTES_SHOWN = 20
GROUPS_SHOWN = 20
ROUNDS_SHOWN = 100
#: Columns of a project's row that change with what is shown of it; the others do so at every webhook and /setup.
WATCHED = tuple(
    column
    for column in Project.__table__.columns.keys()  # noqa: SIM118 - no mapping
    if column not in ("requests", "requests_handled", "setup_at", "listed", "access_token")
)


class RoundFacts(BaseModel):
    """One round."""

    model_config = ConfigDict(from_attributes=True)

    number: int
    state: str = Field(description="starting, open or closed")
    batch: int = Field(description="PT4AL's batch that it queries; 0 before the ranking")
    opened_at: float
    closed_at: float | None
    labels: int = Field(description="labels that trained its model")


class RoundStatus(RoundFacts):
    """One round, and the model that its labels trained."""

    control: Control
    seconds: dict[str, float]


class PickCount(BaseModel):
    """Picks of one kind in the open round."""

    requested: int = 0
    answered: int = 0


class Picks(BaseModel):
    """The open round's picks by kind."""

    query: PickCount = PickCount()
    control: PickCount = PickCount()
    reserve: PickCount = PickCount()
    person: PickCount = PickCount()


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


class IdenticalImages(BaseModel):
    """Tasks with one and the same image."""

    size: int = Field(description="how many there are")
    tasks: list[int] = Field(description=f"the first {MEMBERS_SHOWN} of them")


#: What people read of the model that answers.
SERVED_MODELS = {"": "none yet", "round": "the last round's", "full": "one whose encoder is trained too"}


class ServedModel(BaseModel):
    """The model that answers: what /predict, the queue's predictions and what can be taken away are of."""

    kind: Literal["", "round", "full"] = Field(
        description="round: the last round's; full: one whose encoder is trained too, where rounds train heads; empty: none yet"
    )
    labels: int = Field(description="that it has learned")


class ProjectFigures(BaseModel):
    """What monitoring watches of one project. Times are seconds since 1970 in UTC."""

    id: int
    phase: str
    round: int
    tasks: TaskCounts
    labels_missing: int = Field(description="tasks that the open round still waits for")
    copies_total: int = Field(description="images that are identical to that of an earlier task")
    served: ServedModel
    control: Control = Field(description="of the model that is served")
    aside_total: int
    error: Trouble | None
    webhook_at: float | None = Field(description="the last webhook since the web process started")


class ProjectStatus(ProjectFigures):
    """All that there is to know of one project."""

    title: str
    connected: bool = Field(description="whether Label Studio lists this backend for the project")
    paused_at: float | None = Field(description="since when a person has paused it; null if nobody has")
    progress: Progress
    eta_seconds: float | None = Field(description="until the phase is done")
    rounds: int = Field(description="rounds per sweep over the batches")
    batch_sizes: list[int] = Field(description="tasks in b_1, b_2, …; empty before the ranking")
    query_size: int = Field(description="tasks that a round requests, control picks among them")
    control_size: int
    reserve_size: int
    labels_in: int = Field(description="answered tasks of the open round, skips among them")
    picks: Picks
    pool_estimate: Estimated | None = Field(
        description="the served model by its control picks and by how sure it is of the whole pool; null where they stand alone"
    )
    pool_estimate_missing: str = Field(description="why there is none, a sentence; empty if there is one, or no model yet")
    model_version: str = Field(description="the version that Label Studio serves; empty before the first")
    history: list[RoundStatus] = Field(description=f"the last {ROUNDS_SHOWN} rounds; classes are in `control` alone")
    copies: list[IdenticalImages] = Field(description=f"the {GROUPS_SHOWN} largest groups of identical images")
    aside: list[Aside] = Field(description=f"the first {ASIDE_SHOWN} tasks with an image or an annotation that cannot be used")
    image_notes_total: int = Field(description="images that are used although they were cut short or stretched")
    image_notes: list[Aside] = Field(description=f"the first {NOTES_SHOWN} of them, and what was done to each")
    pretext: PretextQuality
    found: Found = Field(description="what the pages show and the worker computes in the background")
    notices: dict[str, str]
    settings: dict[str, JsonValue]


class Statuses:
    """Status of every project, looked at no more than once a second. Safe to share between threads.

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
        self._outages = Outages(data_dir, queue, hide)
        self._data_dir = data_dir
        self._hide = hide
        self._lock = Lock()  # of what is known; none waits in it for the state
        self._known: dict[int, _Known] = {}
        self._events: dict[int, float] = {}

    def note_event(self, project_id: int) -> None:
        """Remembers when a webhook came; in memory, as the write would wait behind the worker's."""
        self._events[project_id] = self._clock()

    def all(self) -> list[ProjectStatus]:
        """Every connected project, by id."""
        found = [self.of(project_id) for project_id in self._store.project_ids()]
        return [status for status in found if status is not None]

    def figures(self) -> list[ProjectFigures]:
        """What monitoring watches of every connected project, by id. No list is read for it."""
        found = [self._store.project(project_id) for project_id in self._store.project_ids()]
        there = [project for project in found if project is not None]
        return [self._figures(each, self._past(each), self._store.pick_progress(each.id, each.round)) for each in there]

    def of(self, project_id: int) -> ProjectStatus | None:
        """One project; None if it never connected. Who asks meanwhile for the same one waits; others do not."""
        with self._lock:
            known = self._known.setdefault(project_id, _Known())
        with known.reading:
            if known.status is None or not 0 <= self._clock() - known.at < FRESH_SECONDS:
                self._look(project_id, known)
        if known.status is None:
            self.drop(project_id)
        return known.status

    def expire(self, project_id: int) -> None:
        """Has a project read again: somebody has just changed it, and wants to see that."""
        with self._lock:
            if project_id in self._known:
                self._known[project_id].at = self._known[project_id].read_at = -math.inf

    def drop(self, project_id: int) -> None:
        """Drops what was read of a project that is forgotten, or that nobody connected."""
        with self._lock:
            self._known.pop(project_id, None)
            self._events.pop(project_id, None)

    def find(self, reference: str) -> ProjectStatus:
        """The project that an address names.

        Raises:
            UnknownProject: it never connected, or is no project's id at all.
        """
        number = addressed_project(reference)
        status = self.of(number)
        if status is None:
            raise UnknownProject(number)
        return status

    def _look(self, project_id: int, known: "_Known") -> None:
        """Reads a project if its mark is another. The mark costs no look at the pool, and is taken first: nothing is missed."""
        project = self._store.project(project_id)
        progress: Mapping[PickKind, PickProgress] = (
            {} if project is None else self._store.pick_progress(project.id, project.round)
        )
        mark = None if project is None else (self._columns(project), progress)
        now = self._clock()
        if project is None:
            known.status = None
        elif known.status is None or mark != known.mark or not 0 <= now - known.read_at < WHOLE_SECONDS:
            known.status = self._read(project, progress)
            known.mark, known.read_at = mark, now
        elif known.status.webhook_at != self._events.get(project_id):
            known.status = known.status.model_copy(update={"webhook_at": self._events.get(project_id)})
        known.at = now

    def _columns(self, project: Project) -> object:
        """With the progress of its picks, others whenever a project shows something else, as soon as who writes it is done."""
        return [getattr(project, name) for name in WATCHED], self._found(project), self._outages.of(project)

    def _found(self, project: Project) -> Found:
        return Found() if self._data_dir is None else Found.below(project_below(self._data_dir, project))

    def _past(self, project: Project) -> list[PastRound]:
        return self._store.history(project.id, ROUNDS_SHOWN)

    def _served(self, project: Project, past: list[PastRound]) -> tuple[ServedModel, Control]:
        """The model that is served, and how it does on the control picks, with its classes."""
        full = served_model.full_model(self._data_dir, project) if self._data_dir is not None else project.full_model
        if full.model:
            return ServedModel(kind="full", labels=full.labels), full.control
        number = next((each.number for each in reversed(past) if each.control.metric), None)
        found = None if number is None else self._store.round(project.id, number)
        if found is None:
            return ServedModel(kind="", labels=0), Control(metric=_metric(project))
        return ServedModel(kind="round", labels=found.labels), found.control

    def _figures(self, project: Project, past: list[PastRound], progress: Mapping[PickKind, PickProgress]) -> ProjectFigures:
        outage = self._outages.of(project)
        served_model, control = self._served(project, past)
        return ProjectFigures(
            id=project.id,
            phase=Phase.BLOCKED if outage else _phase(project),
            round=project.round,
            tasks=TaskCounts.model_validate(self._store.counts(project.id)),
            labels_missing=sum(each.waiting for kind, each in progress.items() if kind in QUERY),
            copies_total=self._store.copy_count(project.id),
            served=served_model,
            control=control,
            aside_total=self._store.set_aside(project.id, 0)[0],
            error=outage or self._trouble(project),
            webhook_at=self._events.get(project.id),
        )

    def _read(self, project: Project, progress: Mapping[PickKind, PickProgress]) -> ProjectStatus:
        past = self._past(project)
        figures = self._figures(project, past, progress)
        metric = _metric(project)
        options = _options(project)
        schedule = fit_schedule(figures.tasks.pool - figures.copies_total, options)
        _, aside = self._store.set_aside(project.id, ASIDE_SHOWN)
        noted, notes = self._store.image_notes(project.id, NOTES_SHOWN)
        groups = self._store.copy_groups(project.id, GROUPS_SHOWN) if figures.copies_total else []
        estimate, missing = self._pool_estimate(project, figures.served)
        picks = {str(kind): PickCount(requested=each.picks, answered=each.answered) for kind, each in progress.items()}
        return ProjectStatus(
            **dict(figures),
            title=project.title or f"Project {project.id}",
            connected=project.let_go_at is None,
            paused_at=project.paused_at,
            progress=project.progress,
            eta_seconds=project.progress.eta,
            rounds=schedule.batches,
            batch_sizes=self._store.batch_sizes(project.id),
            query_size=schedule.query,
            control_size=schedule.control,
            reserve_size=schedule.reserve,
            labels_in=sum(each.picks - each.waiting for kind, each in progress.items() if kind in QUERY),
            picks=Picks.model_validate(picks),
            pool_estimate=estimate,
            pool_estimate_missing=missing,
            model_version=project.served_version,
            history=[_round(each, metric) for each in past],
            copies=[IdenticalImages(size=each.size, tasks=list(each.tasks)) for each in groups],
            aside=[Aside(task=task, reason=self._hide(reason, project.hostname)) for task, reason in aside],
            image_notes_total=noted,
            image_notes=[Aside(task=task, reason=note) for task, note in notes],
            pretext=project.quality,
            found=self._found(project),
            notices={topic: self._hide(sentence, project.hostname) for topic, sentence in project.notices.items() if sentence},
            settings={**options.model_dump(mode="json"), **options.rules()._asdict()},
        )

    def _pool_estimate(self, project: Project, model: ServedModel) -> tuple[Estimated | None, str]:
        if model.kind == "round":
            return estimate_of(self._data_dir, project)
        return None, FULL if model.kind == "full" else ""

    def _trouble(self, project: Project) -> Trouble | None:
        """What stops the project, as the engine wrote it down."""
        if not project.error:
            return None
        message, remedy = (self._hide(text, project.hostname) for text in (project.error, project.remedy))
        return Trouble(message=message, remedy=remedy, at=project.error_at)


@dataclass
class _Known:
    """What was read of one project, by which mark, and when it was looked at and read; held while it is read again."""

    reading: Lock = field(default_factory=Lock)
    at: float = 0.0
    mark: object = None
    read_at: float = 0.0
    status: ProjectStatus | None = None


def _options(project: Project) -> ProjectSettings:
    try:
        options = project_settings(project.params)
    except ConfigError:
        return project_settings()  # an older version of the backend took them; the engine reports it
    try:
        return for_task(options, in_force(project).task, project.encoder)
    except LabelConfigUnsupported:
        return options  # the engine reports it


def _phase(project: Project) -> str:
    """What the project is doing; one that is paused is so before a worker has seen it."""
    return Phase.PAUSED if project.paused_at is not None and project.let_go_at is None else project.phase


def _metric(project: Project) -> str:
    """What models of the project's labels are measured by."""
    try:
        return MAIN_TASK_FACTS[in_force(project).task].metric
    except LabelConfigUnsupported:
        return MAIN_TASK_FACTS["classification"].metric  # the engine reports it


def _round(each: PastRound, metric: str) -> RoundStatus:
    return RoundStatus(
        **dict(RoundFacts.model_validate(each)),
        control=each.control if each.control.metric else Control(metric=metric),
        seconds={name: float(value) for name, value in each.seconds.items() if isinstance(value, int | float)},
    )
