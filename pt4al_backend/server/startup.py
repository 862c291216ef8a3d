"""The web process before the state has answered for the first time: it says what is missing, and goes to work once it can."""

import logging
from collections.abc import Callable
from threading import Thread

from starlette.types import ASGIApp, Receive, Scope, Send

from pt4al_backend.server.error_answer import error_answer
from pt4al_backend.state.store import REMEDY

log = logging.getLogger(__name__)

FIRST_SECONDS = 5.0  # that requests wait in the socket while the app is made; then they are answered 503


class WhenOpen:
    """An ASGI app that is made in a thread, because making it may have to wait.

    Args:
        make: makes the app; it may take as long as it likes.
        on_failure: called if it cannot be made; ``failure`` says why.
    """

    def __init__(self, make: Callable[[], ASGIApp], on_failure: Callable[[], None]) -> None:
        self._make = make
        self._on_failure = on_failure
        self._app: ASGIApp | None = None
        self.failure: Exception | None = None

    def begin(self) -> None:
        """Starts making the app; returns when it is made, or cannot be, or after a few seconds."""
        thread = Thread(target=self._run, name="opening", daemon=True)
        thread.start()
        thread.join(FIRST_SECONDS)

    def _run(self) -> None:
        try:
            self._app = self._make()
        except Exception as error:  # raised again in the main thread
            self.failure = error
            self._on_failure()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is not None and scope["type"] != "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            waiting = error_answer(503, "The state does not answer yet.", REMEDY, {"Retry-After": "1"})
            await waiting(scope, receive, send)
