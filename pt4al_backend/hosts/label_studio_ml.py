"""PT4AL as label-studio-ml's routes call it: release 1.0.9, and the 2.x sources.

Translation only: every method hands over to `Backend`. Needs the extra ``label-studio-ml``. plugin/_wsgi.py does without those
routes; this class is what label-studio-ml looks for in a model file, and serves sites that give it to ``init_app`` themselves.

=====================  ===================================================  ===========================================
                       1.0.9                                                2.x
=====================  ===================================================  ===========================================
a model is made        for a /setup, and for each event in a process        for each request
it is told             labeling config, address, token                      project, labeling config
extra params           are left in the request                              come after, and only if there are any
events                 `TRAIN_EVENTS` of the class                          ``label_studio_ml.api.TRAIN_EVENTS``
=====================  ===================================================  ===========================================

So a project is registered by the body of its /setup, all of it in one call, and by nothing else. Both releases answer any error
with 500 and its traceback; what is refused here is answered as everywhere else, with its own status and the reason.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from pt4al_backend.errors import PT4ALError
from pt4al_backend.hosts.process import hosted
from pt4al_backend.server.error_answer import ErrorAnswer
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


@contextmanager
def _without_cache() -> Iterator[None]:
    """2.x makes a file of values when it is imported, by default in the working directory. `PT4AL` keeps none."""
    before = os.environ.get("MODEL_DIR")
    with TemporaryDirectory(prefix="pt4al-") as folder:
        os.environ["MODEL_DIR"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["MODEL_DIR"]
            else:
                os.environ["MODEL_DIR"] = before


# The releases leave no other way: 1.0.9 imports torch, and 2.x opens its cache, in the modules that hold the base class.
with _without_torch(), _without_cache():
    from flask import Response, after_this_request, has_request_context, request
    from label_studio_ml.model import LabelStudioMLBase

#: 2.x makes a model for each request and keeps values for it, by project.
BY_PROJECT = hasattr(LabelStudioMLBase, "set")


@contextmanager
def _refusing() -> Iterator[None]:
    """Answers a request with the status and the reason of what is refused, whatever its route makes of the error."""
    try:
        yield
    except PT4ALError as error:
        status, body = error.status, ErrorAnswer(error=error.message, remedy=error.remedy).model_dump_json()

        def answer(response: Response) -> Response:
            response.status_code = status
            response.set_data(body)
            response.mimetype = "application/json"
            return response

        if has_request_context():
            after_this_request(answer)
        raise


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
        self._values: dict[str, str] = {}
        if BY_PROJECT:
            super().__init__(project_id, label_config)  # calls setup()
        else:
            self.project_id = project_id
            self.setup()  # refuses a labeling config that the base class could not read
            super().__init__(label_config, **options)

    def setup(self) -> None:
        """In a /setup: takes over what it says, and keeps the model version that is served, for the answer.

        Raises:
            BadRequest, LabelConfigUnsupported, ConfigError: nothing was changed.
        """
        if has_request_context() and request.path.endswith("/setup"):
            with _refusing():
                self.set("model_version", self._backend.connect(SetupRequest.from_json(request.get_data())))

    def set_extra_params(self, extra_params: Mapping[str, Any] | str | None) -> None:
        """2.x hands them over by themselves; `setup` has taken them already."""

    def use_label_config(self, label_config: str) -> None:
        """2.x would parse it for each request."""
        self.set("label_config", label_config)

    def get(self, key: str) -> str | None:
        """2.x reads a value of the project; those of this request are all there are."""
        return self._values.get(key)

    def set(self, key: str, value: str) -> None:
        """2.x keeps a value for the project; the state has what outlives a request."""
        self._values[key] = value

    def has(self, key: str) -> bool:
        """Whether `get` has a value."""
        return key in self._values

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
        """Notes an event and requests a look. 1.0.9 calls ``fit((), event=…, data=…)``, 2.x ``fit(event, data)``.

        Raises:
            BadRequest: the event names no project.
            UnknownProject: it names one that never connected.
        """
        payload = (data if event is not None else second) or {}
        with _refusing():
            noted = WebhookEvent.from_fields({"action": first if event is None else event, "project": payload.get("project")})
            self._backend.note(noted.project.id, noted.action)
        return {"project": noted.project.id, "requested": True}

    def predict(self, tasks: Sequence[Mapping[str, Any]], *_: object, **__: object) -> list[TaskPrediction]:
        """One prediction for each task, in their order."""
        if not tasks:
            return []
        with _refusing():
            received = PredictRequest.from_fields({"project": self.project_id or tasks[0].get("project"), "tasks": tasks})
            return self._backend.answer(received.project, received.tasks)
