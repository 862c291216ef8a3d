"""HTTP requests that only go to checked addresses, end at a deadline, and share open connections.

Anybody who can create a task writes an image's URL, so the server behind it is not trusted. urllib3's pools are made for
addresses, not for names: the address that was checked is the address that is connected to, and a name that resolves
differently a second time gains nothing. The socket is shut down when the time is over, whatever phase a server stalls in.
Neither proxies nor ``.netrc`` of the environment are used: a proxy would resolve the name itself, past the check, and would
see the token.
"""

import ipaddress
import os
import socket
import ssl
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import urllib3
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProtocolError, ReadTimeoutError
from urllib3.response import BaseHTTPResponse

from pt4al_backend.errors import ConfigError

CONNECT_SECONDS = 10.0
POOLS, KEPT = 32, 8  # addresses with open connections, and connections kept open for each
LOOKUP_SECONDS = 60.0  # for which a name's checked addresses are used: a pool of images is mostly on one host
NAMES = 1024  # whose addresses are remembered at a time
CHUNK = 1 << 16
PORTS = {"http": 80, "https": 443}
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
NAT64 = ipaddress.ip_network("64:ff9b::/96")


class AddressRefused(Exception):
    """The host has an address inside a private network."""


class TooLong(Exception):
    """The body has more bytes than allowed."""


@dataclass(frozen=True)
class Origin:
    """Where a request goes. ``private`` lets it go to addresses inside private networks."""

    scheme: str
    host: str
    port: int
    private: bool

    @property
    def authority(self) -> str:
        """Host and port as a URL and the Host header spell them; signatures of presigned URLs cover this text."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True)
class Reply:
    """An answer: the status, where it redirects to, and the body of a success (of an error: nothing)."""

    status: int
    location: str | None
    encoding: str
    body: bytes


class Connections:
    """Open connections that any number of threads share.

    ``max_bytes`` is the longest body that is read. Certificates of the user's own are taken from REQUESTS_CA_BUNDLE, as
    by the Label Studio client.

    Raises:
        ConfigError: REQUESTS_CA_BUNDLE cannot be read.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._tls = _tls(os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE"))
        self._pools = urllib3.PoolManager(num_pools=POOLS, maxsize=KEPT)
        self._pools.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        self._checked: dict[Origin, tuple[list[str], float]] = {}

    def close(self) -> None:
        """Closes the connections that no thread is using."""
        self._pools.clear()

    def get(self, origin: Origin, target: str, headers: dict[str, str], deadline: float) -> Reply:
        """Requests ``target`` (path and query) and returns the answer; redirects are not followed.

        Args:
            deadline: value of ``time.monotonic()`` at which this ends, whatever the server does.

        Raises:
            AddressRefused: the host is inside a private network and ``origin.private`` is not set.
            TooLong: more than ``max_bytes``.
            TimeoutError: no address, no connection or no whole answer by the deadline.
            OSError: the connection failed or broke off.
        """
        failure: HTTPError | None = None
        for address in self._addresses(origin, deadline):
            pool = self._pool(origin, address)
            try:
                return self._exchange(pool, target, {**headers, "Host": origin.authority}, deadline)
            except (NewConnectionError, ConnectTimeoutError) as error:
                failure = error  # another address of the same host may answer
            except HTTPError as error:
                raise _cause(error) from None
        self._checked.pop(origin, None)
        raise _cause(failure) if failure else OSError("no address")

    def _addresses(self, origin: Origin, deadline: float) -> list[str]:
        addresses, until = self._checked.get(origin, ([], 0.0))
        if time.monotonic() < until:
            return addresses
        addresses = _look_up(origin, deadline)
        if not origin.private and not all(_is_public(address) for address in addresses):
            raise AddressRefused(origin.host)
        if len(self._checked) >= NAMES:
            self._checked.clear()
        self._checked[origin] = addresses, time.monotonic() + LOOKUP_SECONDS
        return addresses

    def _pool(self, origin: Origin, address: str) -> HTTPConnectionPool:
        secure = {"ssl_context": self._tls, "server_hostname": origin.host}  # the certificate is the host's, not the address'
        tls = secure if origin.scheme == "https" else None
        return self._pools.connection_from_host(address, origin.port, origin.scheme, pool_kwargs=tls)

    def _exchange(self, pool: HTTPConnectionPool, target: str, headers: dict[str, str], deadline: float) -> Reply:
        with _Watch(deadline) as watch:
            try:
                return self._request(pool, target, headers, deadline)
            except ProtocolError:
                if not watch.reused:
                    raise
                # The server had closed the kept connection meanwhile: a new one decides.
                return self._request(pool, target, headers, deadline)

    def _request(self, pool: HTTPConnectionPool, target: str, headers: dict[str, str], deadline: float) -> Reply:
        left = _left(deadline)
        response = pool.urlopen(
            "GET",
            target,
            headers=headers,
            retries=False,
            redirect=False,
            assert_same_host=False,
            timeout=urllib3.Timeout(total=left, connect=min(CONNECT_SECONDS, left)),
            preload_content=False,
            decode_content=False,
        )
        try:
            body = self._body(response)
        except BaseException:
            response.close()
            raise
        encoding = response.headers.get("Content-Encoding", "identity")
        return Reply(response.status, response.headers.get("Location"), encoding, body)

    def _body(self, response: BaseHTTPResponse) -> bytes:
        length = int(response.headers.get("Content-Length") or -1)
        if not 200 <= response.status < 300:
            if 0 <= length <= CHUNK:
                response.drain_conn()  # so that the connection can be used again
            else:
                response.close()
            return b""
        if length > self._max_bytes:
            raise TooLong
        parts, left = [], self._max_bytes
        for part in response.stream(CHUNK, decode_content=False):
            parts.append(part)
            left -= len(part)
            if left < 0:
                raise TooLong
        return b"".join(parts)


class _Watch:
    """Shuts the socket of one exchange down at the deadline, and makes that a TimeoutError.

    A timeout of the socket counts from byte to byte, so a server that sends one byte a second never meets it.
    """

    current: ClassVar[ContextVar["_Watch"]] = ContextVar("watch")

    def __init__(self, deadline: float) -> None:
        self.reused = False  # the connection had served an exchange before
        self._sock: socket.socket | None = None
        self._over = False
        self._timer = threading.Timer(_left(deadline), self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._token = self.current.set(self)
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._timer.cancel()
        self.current.reset(self._token)
        if self._over and (error is None or isinstance(error, Exception)):
            raise TimeoutError("the time is over") from None

    def guard(self, sock: socket.socket | None, *, reused: bool) -> None:
        """Takes the socket that the answer comes from."""
        self._sock, self.reused = sock, reused
        if self._over:
            self._end()

    def _end(self) -> None:
        self._over = True
        if self._sock is not None:
            with suppress(OSError):  # it may be closed already
                # Not SSLSocket.shutdown: it would take the TLS state away from under the thread that reads.
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)


class _Connection(HTTPConnection):
    """A connection whose socket is watched from the first byte of an answer on."""

    answers = 0

    def getresponse(self) -> Any:
        _Watch.current.get().guard(self.sock, reused=self.answers > 0)
        self.answers += 1
        return super().getresponse()


class _SecureConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def _cause(error: HTTPError) -> OSError:
    """The system's error behind one of the library's, whose own words may quote the URL with its secrets."""
    if isinstance(error, ConnectTimeoutError | ReadTimeoutError) and not isinstance(error, NewConnectionError):
        return TimeoutError("the time is over")
    found = (each for each in (error.__cause__, *error.args) if isinstance(each, OSError))
    return next(found, ConnectionError("the connection broke off"))


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time is over")
    return left


def _look_up(origin: Origin, deadline: float) -> list[str]:
    """The host's addresses, looked up in a thread of its own: the system's look-up knows no time limit."""
    found: Future[list[Any]] = Future()

    def look_up() -> None:
        try:
            found.set_result(socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError):
            found.set_exception(socket.gaierror(socket.EAI_NONAME, "no such host"))

    threading.Thread(target=look_up, name="look-up", daemon=True).start()
    return list(dict.fromkeys(str(info[4][0]) for info in found.result(_left(deadline))))


def _is_public(text: str) -> bool:
    """Whether an address belongs to the open Internet, also where it carries an IPv4 address inside."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        if address in NAT64:
            return _is_public(str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)))
        if address.sixtofour:
            return _is_public(str(address.sixtofour))
        return address in GLOBAL_UNICAST and address.is_global
    return address.is_global and not address.is_multicast


@lru_cache
def _tls(extra: str | None) -> ssl.SSLContext:
    """Trusts the system's authorities, those that requests brings, and the user's own, in the file or folder ``extra``."""
    context = ssl.create_default_context()
    context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    if extra:
        try:
            context.load_verify_locations(**{"capath" if Path(extra).is_dir() else "cafile": extra})
        except OSError as error:
            message = f"The certificate bundle {extra} cannot be read ({error.strerror})."
            raise ConfigError(message, "Correct REQUESTS_CA_BUNDLE, or unset it.") from error
    return context
