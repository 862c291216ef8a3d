"""PT4AL as label-studio-ml hosts it: release 1.0.9, and written for the 2.x sources as well.

Translation only: every method hands over to `Backend`. Needs the extra ``label-studio-ml``. How the hosts differ:

=====================  ===================================================  ===========================================
                       1.0.9                                                2.x
=====================  ===================================================  ===========================================
made for               a labeling config                                    each request, with project and config
the project is known   from the first event or prediction on                from /setup on
extra params           never handed over: set PT4AL_… in the environment    ``set_extra_params``, as text or object
events                 `TRAIN_EVENTS` of the class, in a process each       ``label_studio_ml.api.TRAIN_EVENTS``
=====================  ===================================================  ===========================================
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pt4al_backend.hosts.process import hosted
from pt4al_backend.server.predictions import TaskPrediction
from pt4al_backend.server.requests import EVENTS, PredictRequest, SetupRequest, WebhookEvent


@contextmanager
def _without_torch() -> Iterator[None]:
    """label-studio-ml imports torch only to choose how processes start: 500 MB that a web process does not need."""
    hidden = sys.modules.setdefault("torch", None) is None  # type: ignore[arg-type]  # None: "not to be imported"
    try:
        yield
    finally:
        if hidden:
            del sys.modules["torch"]


with _without_torch():
    from label_studio_ml.model import LabelStudioMLBase

#: 2.x makes a model for each request and keeps values for it, by project.
BY_PROJECT = hasattr(LabelStudioMLBase, "set")


class PT4AL(LabelStudioMLBase):  # type: ignore[misc]
    """The backend as label-studio-ml sees it.

    Args:
        project_id: given by 2.x.
        label_config: given by both.
        options: of 1.0.9: train_output, hostname, access_token, …
    """

    TRAIN_EVENTS = EVENTS

    def __init__(self, project_id: str | None = None, label_config: str | None = None, **options: Any) -> None:
        self._backend = hosted()
        if BY_PROJECT:
            super().__init__(project_id, label_config)  # calls setup()
        else:
            super().__init__(label_config, **options)
            self.project_id = project_id

    def setup(self) -> None:
        """2.x: registers the project, and gives the host the model version that is served."""
        if self.project_id and self.label_config:
            self.set("model_version", self._connect(self.project_id, self.label_config))

    def set_extra_params(self, extra_params: Mapping[str, Any] | str | None) -> None:
        """2.x: takes over the project's settings."""
        self._connect(self.project_id, self.label_config, extra_params=extra_params)

    def fit(
        self,
        first: str | Sequence[object],
        second: Mapping[str, Any] | None = None,
        /,
        *,
        event: str | None = None,
        data: Mapping[str, Any] | None = None,
        **_: object,
    ) -> dict[str, object]:
        """Notes an event and asks a worker for a look. 1.0.9 calls ``fit((), event=…, data=…)``, 2.x ``fit(event, data)``.

        Raises:
            BadRequest, LabelConfigUnsupported: the event names no project, or one that cannot be learned from.
        """
        payload = (data if event is not None else second) or {}
        noted = WebhookEvent.from_fields({"action": first if event is None else event, "project": payload.get("project")})
        self._connect(noted.project.id, payload["project"].get("label_config"))
        self._backend.note(noted.project.id, noted.action)
        return {"project": noted.project.id, "requested": True}

    def predict(self, tasks: Sequence[Mapping[str, Any]], **_: object) -> list[TaskPrediction]:
        """One prediction for each task, in their order."""
        if not tasks:
            return []
        request = PredictRequest.from_fields({"project": self.project_id or tasks[0].get("project"), "tasks": tasks})
        if not BY_PROJECT and self.label_config and not self._backend.knows(request.project):
            self._connect(request.project, self.label_config, hostname=self.hostname, access_token=self.access_token)
        return self._backend.answer(request.project, request.tasks)

    def _connect(self, project: int | str | None, label_config: str | None, **fields: object) -> str:
        """Registers a project; see `Backend.connect`. Returns the model version served."""
        return self._backend.connect(SetupRequest.from_fields({"project": project, "schema": label_config, **fields}))
