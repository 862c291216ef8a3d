"""Requests to Label Studio's HTTP API: tokens, retries, and errors that say what to change.

Both kinds of token work. A legacy token goes along as it is. A personal access token is a refresh token, which Label
Studio refuses in requests; it is exchanged for an access token that lives five minutes.
"""

import base64
import binascii
import json
import threading
import time
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Literal
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.util import Retry

from pt4al_backend.errors import AuthError, LabelStudioError, Unreachable

Kind = Literal["legacy", "personal"]

#: Seconds of an access token's life that are not used, so that it does not expire on its way.
MARGIN = 30.0

_USE_PERSONAL = (
    "Set LABEL_STUDIO_API_KEY to a personal access token of a Label Studio admin, made in Label Studio under "
    "Account & Settings > Personal Access Token."
)
_LEGACY_OFF = (
    "Label Studio has legacy tokens switched off by default since 1.23: set LABEL_STUDIO_API_KEY to a personal access "
    "token, or let an admin enable legacy tokens under Organization > API Tokens Settings."
)
_SET_URL = "Set LABEL_STUDIO_URL to the address of Label Studio's start page, such as http://label-studio.example:8080."


class NotFound(LabelStudioError):
    """Label Studio holds no such project, task or webhook (any more)."""


class Connection:
    """One Label Studio server, as one user. Safe to share between threads.

    Args:
        url: address of the start page; a trailing slash and a path prefix are fine.
        token: legacy token or personal access token.
        timeout: seconds to connect, and to wait for an answer.
        adapter: sends the requests instead of the network, for tests.

    Raises:
        AuthError: there is no usable token.
        LabelStudioError: ``url`` cannot be an address of Label Studio.
    """

    def __init__(
        self, url: str, token: str, *, timeout: tuple[float, float] = (3.05, 60.0), adapter: BaseAdapter | None = None
    ) -> None:
        self.url = checked_url(url)
        self._token = token.strip()
        if not self._token:
            raise AuthError("No token for Label Studio is set.", _USE_PERSONAL)
        if not (self._token.isascii() and self._token.isprintable()) or " " in self._token:
            raise AuthError(
                "The token for Label Studio contains characters that are not allowed in a token (spaces? quotes?).", _USE_PERSONAL
            )
        claims = _claims(self._token)
        if claims is not None and claims.get("token_type") == "access":
            raise AuthError("The token for Label Studio is an access token, which lives five minutes.", _USE_PERSONAL)
        self._personal = claims is not None
        self._timeout = timeout
        self._lock = threading.Lock()
        self._access = ""
        self._access_until = 0.0
        self._session = requests.Session()
        # Label Studio sets a session cookie with every answer; sent back, it would ask for a CSRF token as well.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        idempotent = adapter or HTTPAdapter(pool_maxsize=16, max_retries=_retry({"GET", "PUT", "PATCH", "DELETE"}))
        self._session.mount("http://", idempotent)
        self._session.mount("https://", idempotent)
        self._session.mount(f"{self.url}/api/token/refresh/", adapter or HTTPAdapter(max_retries=_retry({"POST"})))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r}, {self.token_kind} token)"

    @property
    def token_kind(self) -> Kind:
        """What the token is; Label Studio hands out both."""
        return "personal" if self._personal else "legacy"

    def authorization(self, *, refresh: bool = False) -> dict[str, str]:
        """The header that authenticates a request to this Label Studio; no other host may see it.

        Args:
            refresh: get a new access token even though the last one should still be good, as Label Studio refused it.
        """
        if self._personal:
            with self._lock:
                if refresh or time.monotonic() >= self._access_until:
                    self._exchange()
                return {"Authorization": f"Bearer {self._access}"}
        return {"Authorization": f"Token {self._token}"}

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Sends a request and returns the JSON of the answer, None if it is empty.

        Args:
            path: from the start page, such as "/api/version".
            options: of `requests.Session.request`: params, json, timeout.

        Raises:
            AuthError: the token is refused, or its user may not do this.
            NotFound: what the path names does not exist.
            Unreachable: no answer after the retries, or one that tells to come back later. Whether a POST was carried
                out is then unknown.
            LabelStudioError: any other answer than success.
        """
        response = self._send(method, path, self.authorization(), **options)
        if response.status_code == 401 and self._personal:
            response = self._send(method, path, self.authorization(refresh=True), **options)
        if response.status_code >= 300:
            raise self._error(method, path, response)
        return self._json(response) if response.content else None

    def _exchange(self) -> None:
        path = "/api/token/refresh/"
        response = self._send("POST", path, {}, json={"refresh": self._token})
        if response.status_code in (400, 401, 403) and _is_json(response):
            raise AuthError(
                f"Label Studio at {self.url} refuses the personal access token ({self._detail(response)}): it was revoked, has "
                "expired or belongs to another Label Studio.",
                _USE_PERSONAL,
            )
        if response.status_code >= 300:
            raise self._error("POST", path, response)
        access = str(self._json(response).get("access"))
        claims = _claims(access)
        if claims is None:
            raise LabelStudioError(f"{self.url} gives no access token for a personal access token.", _SET_URL)
        self._access = access
        # The lifetime and not the expiry, as the clocks of the two machines may differ.
        lifetime = float(claims.get("exp", 0)) - float(claims.get("iat", 0))
        self._access_until = time.monotonic() + max(lifetime - MARGIN, lifetime / 2)

    def _send(self, method: str, path: str, headers: Mapping[str, str], **options: Any) -> requests.Response:
        options = {"timeout": self._timeout, **options}
        try:
            # Redirects are not followed: they turn a POST into a GET, and an address that redirects is to be corrected.
            return self._session.request(method, self.url + path, auth=_Header(headers), allow_redirects=False, **options)
        except requests.exceptions.SSLError as error:
            remedy = "Set REQUESTS_CA_BUNDLE to a file with the certificate of your authority."
            raise LabelStudioError(f"The certificate of {self.url} is not trusted here.", remedy) from error
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            remedy = f"Start it, or correct its address. {_SET_URL}"
            raise Unreachable(f"Label Studio at {self.url} does not answer ({_cause(error)}).", remedy) from error
        except requests.RequestException as error:
            raise LabelStudioError(f"No request to {self.url} can be made ({_cause(error)}).", _SET_URL) from error

    def _error(self, method: str, path: str, response: requests.Response) -> LabelStudioError:
        status, detail = response.status_code, self._detail(response)
        if status == 401:
            remedy = _USE_PERSONAL if self._personal else _LEGACY_OFF
            return AuthError(f"Label Studio at {self.url} refuses the {self.token_kind} token ({detail}).", remedy)
        if status == 403:
            return AuthError(f"Label Studio does not allow {method} {path} with this token ({detail}).", _USE_PERSONAL)
        if status < 400:
            target = response.headers.get("Location", "elsewhere").split("?")[0]
            return LabelStudioError(f"{self.url} redirects to {target}.", _SET_URL)
        if status in (429, 502, 503, 504):
            return Unreachable(f"Label Studio at {self.url} is not ready (HTTP {status}).", "Wait until it has started.")
        if not _is_json(response):
            return self._foreign(response)
        if status == 404:
            return NotFound(f"{method} {path}: {detail}", "Was it deleted in Label Studio?")
        return LabelStudioError(f"Label Studio answers {method} {path} with HTTP {status}: {detail}")

    def _json(self, response: requests.Response) -> Any:
        try:
            if _is_json(response):
                return response.json()
        except requests.exceptions.JSONDecodeError as error:
            raise self._foreign(response) from error
        raise self._foreign(response)

    def _foreign(self, response: requests.Response) -> LabelStudioError:
        kind = response.headers.get("Content-Type", "no content type").split(";")[0]
        what = f"HTTP {response.status_code}, {kind}"
        return LabelStudioError(f"{self.url} does not answer as Label Studio does ({what}).", _SET_URL)

    def _detail(self, response: requests.Response) -> str:
        """What Label Studio says was wrong, on one short line, without its traceback and without our token."""
        try:
            body = response.json()
        except requests.exceptions.JSONDecodeError:
            body = {}
        parts = [body.get("detail"), body.get("validation_errors")] if isinstance(body, dict) else [body]
        text = ", ".join(part if isinstance(part, str) else json.dumps(part) for part in parts if part)
        for secret in filter(None, (self._token, self._access)):
            text = text.replace(secret, "…")
        text = " ".join(text.split()) or f"HTTP {response.status_code}"
        return text if len(text) <= 300 else text[:299] + "…"


class _Header(requests.auth.AuthBase):
    """Sets headers last, so that no ~/.netrc of the machine replaces them."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request


def _retry(methods: set[str]) -> Retry:
    """Waits 0, 1, 2 and 4 s between attempts. Failing to connect is retried for every method, the rest for ``methods``."""
    return Retry(
        total=4,
        read=1,
        backoff_factor=0.5,
        status_forcelist=(502, 503, 504),
        allowed_methods=methods,
        raise_on_status=False,
        respect_retry_after_header=False,
    )


def checked_url(url: str) -> str:
    """An address of Label Studio, without a slash at its end.

    Raises:
        LabelStudioError: it cannot be one.
    """
    url = url.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or "@" in parts.netloc or parts.query or parts.fragment:
        shown = repr(url) if "@" not in url else "What is set"
        raise LabelStudioError(f"{shown} is not an address: it needs http:// or https://, a host and perhaps a path.", _SET_URL)
    return url


def _claims(token: str) -> dict[str, Any] | None:
    """Content of a JSON web token, unverified; None if ``token`` is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return None
    return claims if isinstance(claims, dict) else None


def _is_json(response: requests.Response) -> bool:
    return "json" in response.headers.get("Content-Type", "")


def _cause(error: BaseException) -> str:
    """The innermost reason, without addresses and tokens: "connection refused", "timed out", ..."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return (getattr(error, "strerror", None) or type(error).__name__).lower()
