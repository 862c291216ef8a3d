"""What label-studio-ml's routes lack: /health with the instance id, and the webhook's secret instead of a password."""

import base64
import hmac
from collections.abc import Callable, Iterable
from typing import Any

from pt4al_backend.label_studio.registration import WEBHOOK_HEADER
from pt4al_backend.server.auth import OPEN, WEBHOOK
from pt4al_backend.server.backend import Backend
from pt4al_backend.server.protocol import Health

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

SECRET_KEY = "HTTP_" + WEBHOOK_HEADER.upper().replace("-", "_")  # as WSGI spells the header


class Guarded:
    """A WSGI app around label-studio-ml's.

    Its releases check the password of every route, if at all. A webhook event with the right secret is given the password here,
    where it does not leave the process.
    """

    def __init__(self, app: App, backend: Backend) -> None:
        self._app = app
        self._instance = backend.instance
        pair = f"{backend.settings.basic_auth_user}:{backend.settings.basic_auth_pass}"
        self._password = "Basic " + base64.b64encode(pair.encode()).decode()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == OPEN and environ.get("REQUEST_METHOD") == "GET":
            body = Health(instance=self._instance.id).model_dump_json().encode()
            start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
            return [body]
        if path == WEBHOOK and self._is_secret(environ.get(SECRET_KEY, "")):
            environ["HTTP_AUTHORIZATION"] = self._password
        return self._app(environ, start_response)

    def _is_secret(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("latin-1"), self._instance.webhook_secret.encode())
