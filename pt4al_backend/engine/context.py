"""What one look at a project works with: read from Label Studio and from the settings once, then shared by all steps."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from pt4al_backend.config import ProjectSettings, ServerSettings, project_settings
from pt4al_backend.engine import labeling_config
from pt4al_backend.engine.access import client_for, registration_for
from pt4al_backend.engine.device import Device
from pt4al_backend.engine.disconnected import Connections, require_known
from pt4al_backend.engine.retries import Retries
from pt4al_backend.jobs.run import Runner
from pt4al_backend.jobs.shared_jobs import SharedJobs
from pt4al_backend.label_studio.annotations import LabelReader
from pt4al_backend.label_studio.client import LabelStudio, NotFound
from pt4al_backend.label_studio.registration import SAMPLING, Registration
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress
from pt4al_backend.query import plan
from pt4al_backend.state.lease import Lease
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store

log = logging.getLogger("pt4al_backend.engine")

#: Seconds without a full pass for each second that one takes: at 500,000 tasks a quarter of an hour, and there is other work.
REST = 9


class Outcome(Enum):
    """What a step comes to; a look comes to the last of these that one of its steps came to."""

    DONE = auto()
    UNFINISHED = auto()  # more is to be done at once, but other projects get their turn first
    WAITING = auto()  # a job is due, but the device is at another one: what needs it is left for the look after that
    WITHHELD = auto()  # a training is due, but the last one failed a moment ago: its error stays where the user looks


class Paused(Exception):
    """A person pauses the project, so that a training under way ends; it is resumed from its checkpoint."""


#: What ends a look before all is done: another one follows, whatever happens outside.
GOES_ON = frozenset({Outcome.UNFINISHED, Outcome.WAITING})


@dataclass(frozen=True)
class Resources:
    """What the looks of one worker process share.

    Attributes:
        runner: where jobs run.
        device: held while a job runs; projects take turns.
        doorbell: requests a look at a project, by whichever worker is free; None: nobody answers one.
        retries: which trainings failed, and when they may be tried again.
        connections: when each project was last seen to be connected.
        shared: the store by which hosts without a common disk share jobs; None: the data folder is all there is.
    """

    settings: ServerSettings
    store: Store
    runner: Runner
    device: Device
    doorbell: Callable[[int], None] | None
    retries: Retries = field(default_factory=Retries)
    connections: Connections = field(default_factory=Connections)
    shared: SharedJobs | None = None


@dataclass(frozen=True)
class RemoteProject:
    """The project as Label Studio described it when the look began."""

    title: str
    label_config: str
    task_number: int
    model_version: str
    sampling: str

    @classmethod
    def of(cls, answer: dict[str, Any]) -> "RemoteProject":
        """Reads Label Studio's answer, which leaves out what is not set."""
        texts = {name: str(answer.get(name) or "") for name in ("title", "label_config", "model_version", "sampling")}
        return cls(task_number=int(answer.get("task_number") or 0), **texts)


@dataclass
class Context:
    """One look at one project.

    Attributes:
        project: its row, which ``Store.change`` keeps up to date with what this look writes.
        options: the project's settings when the look began.
        config_xml: the labeling config that the reader reads by (see ``labeling_config``).
        full_sync_due: whether the look ends with a full pass over the tasks.
        requests_seen: the last request whose answers were taken over.
        reported_at, served_at: when the progress was last written and answers were last looked for, by ``time.monotonic``.
    """

    resources: Resources
    project: Project
    lease: Lease
    options: ProjectSettings
    client: LabelStudio
    reader: LabelReader
    registration: Registration
    remote: RemoteProject
    config_xml: str
    full_sync_due: bool
    requests_seen: int
    reported_at: float = 0.0
    served_at: float = field(default_factory=time.monotonic)

    @property
    def settings(self) -> ServerSettings:
        """The server's settings."""
        return self.resources.settings

    @property
    def store(self) -> Store:
        """The state."""
        return self.resources.store

    @property
    def retries(self) -> Retries:
        """The worker's failures."""
        return self.resources.retries

    def require(self, *, now: bool = False) -> None:
        """Called before anything that others would see; reads Label Studio's entries if that was a while ago, or ``now``.

        Raises:
            LeaseLost: another worker may be at the project.
            Paused: a person has just paused the project.
            NotConnected: Label Studio does not list this backend any more.
        """
        self.lease.require()
        self.store.refresh(self.project, "paused_at")
        if self.project.paused_at is not None:
            raise Paused
        self.resources.connections.require(self.store, self.project, self.registration, now=now)

    def phase(self, phase: Phase) -> None:
        """Shows what the project is doing."""
        self.show(Progress(phase))

    def show(self, progress: Progress) -> None:
        """Shows what the project is doing, and how far that is."""
        self.store.change(self.project, phase=progress.phase, progress=progress)

    def notice(self, topic: str, sentence: str) -> None:
        """Shows a sentence under a topic, "" for none."""
        self.store.notice(self.project, topic, sentence)

    def log(self, sentence: str, *words: object) -> None:
        """Writes to the worker's log."""
        log.info(f"Project %s, round %s: {sentence}", self.project.id, self.project.round, *words)

    def warn(self, error: object) -> None:
        """Writes a warning to the worker's log."""
        log.warning("Project %s: %s", self.project.id, error)


#: One step of a look: it does what is missing, and nothing if nothing is.
Step = Callable[[Context], Outcome]


def connect(resources: Resources, project: Project, lease: Lease) -> Context:
    """Reads what Label Studio says of a project, and refuses settings and labeling configs that nothing can be done with.

    Raises:
        NotConnected: Label Studio does not list this backend for the project any more.
        PT4ALError: the settings, the labeling config, or Label Studio's answer.
    """
    client = client_for(resources.settings, project)
    try:
        remote = RemoteProject.of(client.project(project.id))
    except NotFound as error:
        require_known(resources.store, project, client, error)
        raise
    registration = registration_for(resources.settings, resources.store, client, project.id)
    changed = bool(project.served_version) and (remote.model_version, remote.sampling) != (project.served_version, SAMPLING)
    resources.connections.require(resources.store, project, registration, now=changed)
    options = project_settings(project.params)
    config_xml, reader, waiting = labeling_config.decide(
        resources.store, resources.settings, project, options, remote.label_config
    )
    options = plan.for_task(options, reader.task, project.encoder)
    plan.require_fit(options, reader.task)
    between = max(resources.settings.full_sync_seconds, REST * project.full_sync_took)
    full_sync_due = time.time() - project.full_sync_at > between
    if (project.title, project.label_config) != (remote.title, remote.label_config):
        resources.store.change(project, title=remote.title, label_config=remote.label_config)
    resources.store.notice(project, "config", waiting)
    return Context(
        resources=resources,
        project=project,
        lease=lease,
        options=options,
        client=client,
        reader=reader,
        registration=registration,
        remote=remote,
        config_xml=config_xml,
        full_sync_due=full_sync_due,
        requests_seen=project.requests,
    )
