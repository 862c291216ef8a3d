"""PT4AL as label-studio-ml hosts it, release 1.0.9 and the 2.x sources alike, and as the backend's own app serves it.

Translation only: every method hands over to `serving`. What the hosts differ in:

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

from pt4al_backend.server.backend import EVENTS, Backend, hosted, project_number


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
    """The backend as Label Studio sees it.

    Args:
        project_id: given by 2.x.
        label_config: given by both.
        serving: given by the backend's own app; a host's process opens what the environment names.
        options: of 1.0.9: train_output, hostname, access_token, …
    """

    TRAIN_EVENTS = EVENTS

    def __init__(
        self, project_id: str | None = None, label_config: str | None = None, *, serving: Backend | None = None, **options: Any
    ) -> None:
        self._is_hosted = serving is None
        self._serving = serving or hosted()
        if BY_PROJECT:
            super().__init__(project_id, label_config)  # calls setup()
        else:
            super().__init__(label_config, **options)
            self.project_id = project_id

    def setup(self) -> None:
        """2.x: registers the project, and tells the host which model version is served."""
        if self.project_id and self.label_config:
            self.set("model_version", self.connect(self.project_id, self.label_config))

    def set_extra_params(self, extra_params: Mapping[str, Any] | str | None) -> None:
        """2.x: takes over the project's settings."""
        self.connect(self.project_id, self.label_config, extra_params=extra_params)

    def connect(self, project: object, label_config: str, **said: Any) -> str:
        """Registers a project; see `Backend.connect`. Returns the model version served."""
        return self._serving.connect(project_number(project), label_config, **said)

    def fit(self, *given: Any, event: str | None = None, data: Mapping[str, Any] | None = None, **_: Any) -> dict[str, Any]:
        """Notes an event and asks a worker for a look. 1.0.9 calls ``fit((), event=…, data=…)``, 2.x ``fit(event, data)``."""
        if event is None or data is None:
            event, data = given
        project = data["project"]
        project_id = project_number(project["id"])
        if self._is_hosted:
            self.connect(project_id, project["label_config"])
        self._serving.note(project_id, event)
        return {"project": project_id, "asked": True}

    def predict(
        self,
        tasks: Sequence[Mapping[str, Any]],
        *,
        project: object = None,
        deadline: float | None = None,
        **_: Any,
    ) -> list[dict[str, Any]]:
        """One prediction for each task, in their order."""
        if not tasks:
            return []
        project_id = project_number(project or self.project_id or tasks[0].get("project"))
        if self._is_hosted and not BY_PROJECT and self.label_config and not self._serving.knows(project_id):
            self.connect(project_id, self.label_config, hostname=self.hostname, access_token=self.access_token)
        return self._serving.answer(project_id, tasks, deadline)
