"""What Label Studio asks of the backend, whoever hosts it: connect a project, note an event, answer for tasks.

All three return in milliseconds whatever is training: they read the state, and ask the queue. The one thing that takes
longer, letting the last good model look at an image that nobody asked for yet, has its time limit.
"""

import json
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from pt4al_backend.config import ServerSettings, project_settings, server_settings
from pt4al_backend.engine.queue import Queue
from pt4al_backend.errors import BadRequest, UnknownProject
from pt4al_backend.label_studio import label_config
from pt4al_backend.query import plan
from pt4al_backend.server.predictions import Predictions
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store

Json = dict[str, Any]

START_TRAINING = "START_TRAINING"

#: Every event that Label Studio 1.23 sends to a project's webhook, and the deletion as label-studio-ml spells it.
EVENTS = (
    START_TRAINING,
    "TASKS_CREATED",
    "TASKS_DELETED",
    "ANNOTATION_CREATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATION_DELETED",
    "ANNOTATIONS_DELETED",
    "PROJECT_UPDATED",
    "LABEL_LINK_CREATED",
    "LABEL_LINK_UPDATED",
    "LABEL_LINK_DELETED",
)

LARGEST_ID = 2**63 - 1


def project_number(reference: object) -> int:
    """The project's id in what Label Studio calls it: 3, "3", or "3.1795241480" with the second of its creation.

    Raises:
        BadRequest: it is none of them.
    """
    head = reference.partition(".")[0] if isinstance(reference, str) else reference
    if isinstance(head, str) and head.isascii() and head.isdigit() and len(head) <= len(str(LARGEST_ID)):
        head = int(head)
    if isinstance(head, int) and not isinstance(head, bool) and 0 < head <= LARGEST_ID:
        return head
    raise BadRequest(f"{str(reference)[:40]!r} is not a project's id.", 'Send its number, or "number.created".')


class Backend:
    """The answers to Label Studio's requests. Safe to share between threads."""

    def __init__(self, settings: ServerSettings, store: Store, queue: Queue, answers: Predictions | None = None) -> None:
        self.settings = settings
        self.store = store
        self._queue = queue
        self._answers = answers or Predictions(settings, store)

    @classmethod
    def open(cls, settings: ServerSettings) -> "Backend":
        """Opens the state and the queue that the settings name."""
        return cls(settings, Store.open(settings), Queue(settings))

    def knows(self, project_id: int) -> bool:
        """Whether the project connected this backend."""
        return self.store.project(project_id) is not None

    def connect(self, project_id: int, config: str, **said: Any) -> str:
        """Registers a project, or notes what changed; a second call with the same words writes nothing.

        Args:
            config: the project's labeling config.
            said: ``hostname``, ``access_token`` and ``extra_params`` as far as Label Studio said them; what it left out
                stays as it is.

        Returns:
            The model version that was last published. Label Studio asks /predict only for tasks without a prediction
            of the version it hears here, so any other word would make it store the same prediction at every look.

        Raises:
            LabelConfigUnsupported, ConfigError, BadRequest: nothing was changed.
        """
        parsed = label_config.parse(config)
        fields: Json = {"label_config": config}
        if "extra_params" in said:
            plan.require_fit(project_settings(said["extra_params"]), parsed.task)
            fields["params"] = _object(said["extra_params"])
        if "hostname" in said:
            fields["hostname"] = _line(said["hostname"], "hostname").rstrip("/")
        if "access_token" in said:
            token = _line(said["access_token"], "access_token")
            fields["access_token"] = "" if self.settings.label_studio_api_key else token  # a secret of no use is not kept
        known = self.store.project(project_id)
        if known is None or any(getattr(known, name) != value for name, value in fields.items()):
            self.store.connect(project_id, **fields)
            self._queue.ask(project_id)
        return known.served_version if known else ""

    def note(self, project_id: int, event: str) -> None:
        """Asks a worker to look at a project because something happened there; does none of the work.

        Raises:
            UnknownProject: it never connected.
        """
        if not self.knows(project_id):
            raise UnknownProject(project_id)
        self._queue.ask(project_id, train=event == START_TRAINING)

    def answer(self, project_id: int, tasks: Sequence[Mapping[str, Any]], deadline: float | None = None) -> list[Json]:
        """One prediction for each task, in their order; by ``deadline`` (of `time.monotonic`) at the latest.

        Args:
            tasks: as Label Studio sends them: ``id`` and ``data``.
        """
        by = time.monotonic() + self.settings.predict_seconds if deadline is None else deadline
        return self._answers.of(self.store.project(project_id) or Project(id=project_id), tasks, by)


@lru_cache(maxsize=1)
def hosted() -> Backend:
    """What a process of label-studio-ml's own server shares: opened once, from the environment."""
    return Backend.open(server_settings())


def _object(extra_params: Any) -> Json:
    return dict(json.loads(extra_params) if isinstance(extra_params, str) and extra_params else extra_params or {})


def _line(text: str | None, key: str) -> str:
    if text and not text.isprintable():
        raise BadRequest(f"{key}: it holds characters that cannot be printed.", "Send JSON as Label Studio does.")
    return text or ""
