"""What Label Studio wants of the backend, whichever server hosts it: connect a project, note an event, answer for tasks.

All three return in milliseconds whatever is training: they use the state, and put requests into the work queue. The
one thing that takes longer, letting the served model look at an image outside the query, has its time limit.
"""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from pt4al_backend.config import ServerSettings, project_settings
from pt4al_backend.engine import disconnected, labeling_config
from pt4al_backend.engine.work_queue import WorkQueue, start_training
from pt4al_backend.errors import UnknownProject
from pt4al_backend.phases import Phase
from pt4al_backend.query import plan
from pt4al_backend.server.live_model import LiveModel
from pt4al_backend.server.model_downloads import ModelDownloads
from pt4al_backend.server.predictions import Predictions, TaskPrediction
from pt4al_backend.server.requests import START_TRAINING, SetupRequest, Task
from pt4al_backend.state.schema import Instance, Project, PublicationState
from pt4al_backend.state.store import Store

SETUP_SECONDS = 20.0  # between two notes of a /setup that says nothing new


class Backend:
    """The answers to Label Studio's requests. Safe to share between threads.

    Attributes:
        model_downloads: of this process, shared by all who need a model that another host trained.
    """

    def __init__(self, settings: ServerSettings, store: Store, queue: WorkQueue) -> None:
        self.settings = settings
        self._store = store
        self._queue = queue
        self.model_downloads = ModelDownloads(settings)
        self._predictions = Predictions(settings, store, LiveModel(settings, downloads=self.model_downloads))

    @classmethod
    def open(cls, settings: ServerSettings) -> "Backend":
        """Opens the state and the queue that the settings name."""
        return cls(settings, Store.open(settings), WorkQueue(settings))

    @cached_property
    def instance(self) -> Instance:
        """What tells this backend from others."""
        return self._store.instance()

    def close(self) -> None:
        """Closes the state."""
        self._store.close()

    def knows(self, project_id: int) -> bool:
        """Whether the project connected this backend."""
        return self._store.project(project_id) is not None

    def connect(self, request: SetupRequest, backend_host: str = "") -> str:
        """Registers a project, or stores what changed; an equal second request writes nothing.

        Args:
            request: what Label Studio says of the project.
            backend_host: the name under which Label Studio reached this backend, if that is known.

        Returns:
            The model version that was last published. Label Studio asks /predict only for tasks without a prediction
            of the version it hears here, so any other answer would make it store the same prediction whenever someone
            opens the task.

        Raises:
            LabelConfigUnsupported, ConfigError: nothing was changed.
        """
        known = self._store.project(request.project)
        project = known or Project(id=request.project)
        fields: dict[str, Any] = {"label_config": request.label_config}
        if request.extra_params is None:
            labeling_config.wanted(project, request.label_config, labeling_config.control_of(project))
        else:
            options = project_settings(request.extra_params)
            plan.require_fit(options, labeling_config.wanted(project, request.label_config, options.control).task)
            fields["params"] = _params(request.extra_params)
        fields |= self._access(project, request)
        if backend_host:
            fields["backend_host"] = backend_host
        if known is None or known.let_go_at is not None:  # where it was let go, it resumes
            fields |= {"let_go_at": None, "listed": False, "phase": Phase.CONNECTED, "notices": {}}
        now = time.time()
        if known is None or any(getattr(known, name) != value for name, value in fields.items()):
            self._store.connect(request.project, secrets.token_hex(6), **fields, setup_at=now)
            self._queue.request(request.project)
        elif now - known.setup_at > SETUP_SECONDS:
            self._store.change(request.project, setup_at=now)
        return known.served_version if known else ""

    def _access(self, project: Project, request: SetupRequest) -> dict[str, str]:
        """Label Studio's address and token as columns, which are one value: a stored token goes to no other address than its own.

        A new address without a token leaves none. A token without an address is not taken: nothing says where it belongs.
        """
        if request.hostname is None:
            return {}
        hostname = request.hostname.rstrip("/")
        kept = project.access_token if hostname == project.hostname else ""
        token = kept if request.access_token is None else request.access_token
        # with the admin's token, another one is of no use, and a secret of no use is not kept
        return {"hostname": hostname, "access_token": "" if self.settings.label_studio_api_key else token}

    def note(self, project_id: int, event: str) -> None:
        """Requests a look at a project, by a worker, because something happened there. Start Training is kept in the state.

        Raises:
            UnknownProject: it never connected.
        """
        self._require(project_id)
        if event == START_TRAINING:
            start_training(self._store, self._queue, project_id)
        else:
            self._queue.request(project_id)

    def forget(self, project_id: int) -> str:
        """Drops a project's state and files; returns a sentence on what was set back in Label Studio.

        Raises:
            UnknownProject: it never connected.
            ProjectBusy: a worker is at it.
        """
        return disconnected.forget(self._store, self.settings, project_id)

    def answer(self, project_id: int, tasks: Sequence[Task], deadline: float | None = None) -> list[TaskPrediction]:
        """One prediction for each task, in their order.

        Args:
            deadline: the time of `time.monotonic` at which it answers at the latest; by default `predict_seconds` from now.
        """
        by = time.monotonic() + self.settings.predict_seconds if deadline is None else deadline
        return self._predictions.of(self._store.project(project_id) or Project(id=project_id), tasks, by)

    def versions(self, project_id: int) -> list[str]:
        """The model versions that were published for a project, oldest first.

        Raises:
            UnknownProject: it never connected.
        """
        self._require(project_id)
        return self._published(project_id)

    def all_versions(self) -> list[str]:
        """The model versions of every project, sorted."""
        return sorted({version for number in self._store.project_ids() for version in self._published(number)})

    def _published(self, project_id: int) -> list[str]:
        found = self._store.publications(project_id, PublicationState.OLD, PublicationState.LIVE)
        return [publication.version for publication in found]

    def _require(self, project_id: int) -> None:
        if not self.knows(project_id):
            raise UnknownProject(project_id)


def _params(extra_params: Mapping[str, Any] | str) -> dict[str, Any]:
    """The extra params as an object; `project_settings` has taken them."""
    return dict(json.loads(extra_params) if isinstance(extra_params, str) else extra_params)
