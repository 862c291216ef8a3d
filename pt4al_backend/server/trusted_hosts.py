"""Under which names the backend may be addressed.

A web page can make a name of its own resolve to this machine, and then reads from the backend as one of the backend's own pages
does. Its requests carry that name in the Host header, so names that nobody gave to the backend are refused.
"""

import ipaddress

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from pt4al_backend.config import ServerSettings
from pt4al_backend.server.auth import OPEN, host_name, is_from_page
from pt4al_backend.server.error_answer import error_answer
from pt4al_backend.server.failures import STATE_ERRORS, StateUnavailable
from pt4al_backend.state.store import REMEDY, Store

SETUP = "/setup"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
WILDCARDS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - addresses that are compared, not bound


class TrustedHosts:
    """Refuses requests under other names than loopback's, the bound host, those of the settings and Label Studio's for it.

    That last one is learned from /setup, which no page can make a browser post without an Origin. /health is open under any.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, store: Store) -> None:
        self._app = app
        self._store = store
        given = {name.strip().lower() for name in settings.allowed_hosts.split(",") if name.strip()}
        self._names = LOOPBACK | given | {settings.host.lower()}
        self._endings = tuple(name[1:] for name in given if name.startswith("*."))
        self._allows_all = "*" in given
        self._allows_addresses = settings.host in WILDCARDS  # each address of the machine is then a bound host
        self._learned: frozenset[str] = frozenset()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            refusal = await self._refusal(scope)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        name = host_name(headers)
        if scope["path"] == OPEN or self._is_given(name):
            return None
        if scope["path"] == SETUP and scope["method"] == "POST" and not is_from_page(headers):
            return None
        try:
            if await self._is_learned(name):
                return None
        except STATE_ERRORS:
            return error_answer(StateUnavailable.status, "The state cannot be read.", REMEDY)
        return error_answer(
            400,
            f"The backend is not known as {name[:100]!r}.",
            "Use the address that Label Studio has, or name this one in PT4AL_ALLOWED_HOSTS and restart the backend.",
        )

    def _is_given(self, name: str) -> bool:
        if self._allows_all or name in self._names or name.endswith(self._endings):
            return True
        return self._allows_addresses and _is_address(name)

    async def _is_learned(self, name: str) -> bool:
        if name not in self._learned:  # each time: a webhook may follow a /setup at once
            self._learned = frozenset(await to_thread.run_sync(self._store.backend_hosts))
        return bool(name) and name in self._learned


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
