"""Serves PT4AL with label-studio-ml's own server, release 1.0.9 or the 2.x sources:

    label-studio-ml start plugin --port 9090        or, from this folder, any WSGI server with `_wsgi:app`

A worker has to run beside it (`pt4al worker`). Both take their settings from the environment, as `pt4al start` does.
"""

import argparse
import logging

from flask import Flask
from model import PT4AL

from pt4al_backend.config import ServerSettings, server_settings
from pt4al_backend.config.environment import misspelt
from pt4al_backend.config.exposure import require_guarded
from pt4al_backend.errors import ConfigError
from pt4al_backend.hosts.process import close
from pt4al_backend.hosts.wsgi import HostedApp

log = logging.getLogger(__name__)

#: Flags that are settings of the server.
SETTINGS = ("host", "port", "basic_auth_user", "basic_auth_pass")

#: Flags for models that learn in the process that serves them.
WITHOUT_EFFECT = {
    "model_dir": "models are in PT4AL_DATA_DIR, which server and worker share",
    "kwargs": "settings are PT4AL_... variables of server and worker, or extra params of the connection",
}


def create_app(settings: ServerSettings) -> Flask:
    """label-studio-ml's app for `PT4AL`, in which the backend's own app answers.

    Raises:
        ConfigError: a setting has a value that is not allowed, or the state cannot be opened, and waiting does not help.
    """
    from label_studio_ml import api  # not before the model, which keeps label-studio-ml from importing torch

    for sentence in misspelt():
        log.warning("%s", sentence)
    hosted = HostedApp(settings)
    hosted.begin()
    app: Flask = api.init_app(PT4AL)
    app.wsgi_app = hosted
    return app


def _parser() -> argparse.ArgumentParser:
    """The flags that label-studio-ml's releases give to the _wsgi.py files that they make."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-p", "--port", type=int, help="default: PT4AL_PORT, or 9090")
    parser.add_argument("--host", help="default: PT4AL_HOST, or 127.0.0.1")
    parser.add_argument("--basic-auth-user", help="default: BASIC_AUTH_USER")
    parser.add_argument("--basic-auth-pass", help="default: BASIC_AUTH_PASS, which no other user of this machine can read")
    parser.add_argument("--log-level", choices=["DEBUG", "INFO", "WARNING", "ERROR"], default="INFO")
    parser.add_argument("-d", "--debug", action="store_true", help="the same as --log-level DEBUG")
    parser.add_argument("--check", action="store_true", help="make a model before the server starts")
    parser.add_argument("--model-dir", help=f"no effect: {WITHOUT_EFFECT['model_dir']}")
    parser.add_argument("--kwargs", "--with", nargs="+", metavar="KEY=VAL", help=f"no effect: {WITHOUT_EFFECT['kwargs']}")
    return parser


def main() -> None:
    """The command line of label-studio-ml's folder convention."""
    parser = _parser()
    given = parser.parse_args()
    level = "DEBUG" if given.debug else given.log_level
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name, reason in WITHOUT_EFFECT.items():
        if getattr(given, name) is not None:
            log.warning("--%s has no effect: %s.", name.replace("_", "-"), reason)
    try:
        settings = server_settings(**{name: value for name in SETTINGS if (value := getattr(given, name)) is not None})
        require_guarded(settings)
        if given.check:
            PT4AL()
            close()
            log.info("A model was made.")
        app = create_app(settings)
    except ConfigError as error:
        parser.error(str(error))
    app.run(host=settings.host, port=settings.port, threaded=True)


if __name__ == "__main__":
    main()
else:
    app = create_app(server_settings())
