"""Who may send requests: basic auth on every route but /health, and no posts from other sites' pages.

Label Studio sends the credentials of the connection with every request but the webhook's events. So the worker writes a secret
of their own into the webhook, and /webhook takes that as well.

Both wrap the whole app, so that no route, no list of routes and no 404 is left out.
"""

import base64
import binascii
import hmac
import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from pt4al_backend.config import ServerSettings
from pt4al_backend.label_studio.registration import WEBHOOK_HEADER
from pt4al_backend.server.error_answer import error_answer

OPEN = "/health"  # Label Studio and container engines probe it; it reveals nothing
WEBHOOK = "/webhook"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^:\[\]]+))(?::[0-9]*)?")


def host_name(headers: Headers) -> str:
    """The name or address in a request's Host header, in lower case and without port; "" if there is none."""
    found = _HOST.fullmatch(headers.get("host", "").strip().lower())
    return (found[1] or found[2]).rstrip(".") if found else ""


def is_from_page(headers: Headers) -> bool:
    """Whether a page in a browser made it post this: browsers say so with every post."""
    return "origin" in headers or "sec-fetch-site" in headers


class BasicAuth:
    """Requires the user name and password of the settings, if they name any; of /webhook, those or the webhook's secret."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, webhook_secret: str) -> None:
        self._app = app
        self._webhook_secret = webhook_secret.encode()
        wanted = f"{settings.basic_auth_user}:{settings.basic_auth_pass}"
        # Label Studio sends Latin-1, browsers UTF-8; the settings refuse what Latin-1 cannot encode
        self._wanted = (wanted.encode(), wanted.encode("latin-1"))
        self._is_on = bool(settings.basic_auth_user)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._is_on and scope["path"] != OPEN and not self._admits(scope):
            refusal = error_answer(
                401,
                "This backend requires a user name and a password.",
                "Use BASIC_AUTH_USER and BASIC_AUTH_PASS; in Label Studio, enter them in Settings > Model > Edit.",
                {"WWW-Authenticate": 'Basic realm="PT4AL backend", charset="UTF-8"'},
            )
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _admits(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        secret = headers.get(WEBHOOK_HEADER, "").encode("latin-1")
        if scope["path"] == WEBHOOK and hmac.compare_digest(secret, self._webhook_secret):
            return True
        scheme, _, encoded = headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        matches = [hmac.compare_digest(given, wanted) for wanted in self._wanted]
        return scheme.lower() == "basic" and any(matches)


class SameSite:
    """Refuses what a page of another site made a browser send, with the credentials that the browser remembers.

    Reading is left out: browsers do not let a page see the answers of another site. Today's browsers say by Sec-Fetch-Site
    where a request comes from; over plain HTTP they may leave it out, and then Origin decides. Label Studio sends neither.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in SAFE_METHODS and not _is_same_site(Headers(scope=scope)):
            refusal = error_answer(
                403,
                "Posts from pages of other sites are refused.",
                "Send the request without the headers Origin and Sec-Fetch-Site.",
            )
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_same_site(headers: Headers) -> bool:
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site in ("same-origin", "none")
    return origin is None or _netloc(origin) == headers.get("host")


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
