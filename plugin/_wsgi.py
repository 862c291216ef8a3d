"""Serves PT4AL with label-studio-ml's own server, release 1.0.9 or the 2.x sources:

    label-studio-ml start plugin --port 9090        or, from this folder, any WSGI server with `_wsgi:app`

A worker has to run beside it (`pt4al worker`): neither version's server trains, both only ask for it. The backend's own
`pt4al start` runs both, and serves status pages and metrics as well.
"""

import argparse
import hmac
import inspect
import logging
from typing import Any

from flask import Flask, Response, jsonify, request
from model import PT4AL

from pt4al_backend.config import ServerSettings, server_settings
from pt4al_backend.config.exposure import require_guarded
from pt4al_backend.errors import ConfigError, PT4ALError
from pt4al_backend.hosts.process import hosted
from pt4al_backend.hosts.wsgi import Guarded
from pt4al_backend.server.requests import SetupRequest


def create_app(settings: ServerSettings) -> Flask:
    """label-studio-ml's app around `PT4AL`, with basic authentication if the settings ask for it."""
    from label_studio_ml import api  # not before the model, which keeps label-studio-ml from importing torch

    if "basic_auth_user" in inspect.signature(api.init_app).parameters:
        api.TRAIN_EVENTS = PT4AL.TRAIN_EVENTS  # 2.x drops other events, imports and deletions among them
        app = api.init_app(PT4AL, settings.basic_auth_user or None, settings.basic_auth_pass or None)
    else:
        api._manager = _one_process_manager()
        app = api.init_app(PT4AL, model_dir=str(settings.data_dir / "label-studio-ml"))
        app.before_request(lambda: _refusal(settings))
    app.register_error_handler(PT4ALError, _explain)
    app.wsgi_app = Guarded(app.wsgi_app, hosted())
    logging.getLogger(api.__name__).setLevel(logging.INFO)  # at DEBUG it writes tokens and passwords of requests
    return app


def _one_process_manager() -> Any:
    """What stands between 1.0.9's routes and the model.

    Its own manager starts a process for every event, which imports torch to note one line, and answers /setup with the
    number of its last job: Label Studio would then store the same prediction again whenever someone opens the task.
    """
    from label_studio_ml.model import LabelStudioMLManager, ModelWrapper

    class OneProcessManager(LabelStudioMLManager):  # type: ignore[misc]
        @classmethod
        def fetch(cls, project: str, label_config: str, *_: Any, **__: Any) -> Any:
            version = hosted().connect(SetupRequest.from_json(request.get_data()))
            return ModelWrapper(PT4AL(project, label_config), version)

        @classmethod
        def predict(cls, tasks: list[dict[str, Any]], project: str, label_config: str, *_: Any, **__: Any) -> Any:
            model = PT4AL(project, label_config)
            return model.predict(tasks), ModelWrapper(model, "")

        @classmethod
        def webhook(cls, event: str, data: dict[str, Any]) -> dict[str, Any]:
            return PT4AL().fit(event, data)

    return OneProcessManager()


def _refusal(settings: ServerSettings) -> Response | None:
    """401 without the right credentials; 1.0.9 itself asks for none."""
    given = request.authorization
    if not settings.basic_auth_user or request.path == "/health":
        return None
    wanted = (settings.basic_auth_user, settings.basic_auth_pass)
    pairs = zip((given.username or "", given.password or "") if given else ("", ""), wanted, strict=True)
    if all([hmac.compare_digest(one.encode(), other.encode()) for one, other in pairs]):
        return None
    return Response("Unauthorized", 401, {"WWW-Authenticate": 'Basic realm="PT4AL"'})


def _explain(error: PT4ALError) -> tuple[Response, int]:
    return jsonify({"error": error.message, "remedy": error.remedy}), error.status


def main() -> None:
    """The command line of label-studio-ml's folder convention, as far as it means something here."""
    settings = server_settings()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-p", "--port", type=int, default=settings.port)
    parser.add_argument("--host", default=settings.host)
    parser.add_argument("--log-level", choices=["DEBUG", "INFO", "WARNING", "ERROR"], default="INFO")
    arguments = parser.parse_args()
    try:
        require_guarded(settings.model_copy(update={"host": arguments.host}))
    except ConfigError as error:
        parser.error(str(error))
    logging.basicConfig(level=arguments.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    create_app(settings).run(host=arguments.host, port=arguments.port, threaded=True)


if __name__ == "__main__":
    main()
else:
    app = create_app(server_settings())
