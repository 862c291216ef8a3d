"""HTTP connections that only go to checked addresses, end at a deadline, and are kept open between images.

An image's URL is written by whoever can create a task, so the server behind it is not trusted. ``http.client`` rather
than ``requests``, because both guarantees are made where the socket is: the address that was checked is the address
that is connected to (a name that resolves differently a second time gains nothing), and the socket is shut down when
the time is over, whatever phase a server stalls in. Neither proxies nor ``.netrc`` of the environment are used: a proxy
would resolve the name itself, past the check, and would see the token.
"""

import ipaddress
import os
import socket
import ssl
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from pt4al_backend.errors import ConfigError

CONNECT_SECONDS = 10.0
IDLE = 64  # connections kept open in all
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
    """Where a connection goes. ``private`` lets it go to addresses inside private networks."""

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
    """A pool of open connections that any number of threads share.

    ``max_bytes`` is the longest body that is read. Certificates of the user's own are taken from REQUESTS_CA_BUNDLE, as
    by the Label Studio client.

    Raises:
        ConfigError: REQUESTS_CA_BUNDLE cannot be read.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._tls = _tls(os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE"))
        self._lock = threading.Lock()
        self._idle: OrderedDict[HTTPConnection, Origin] = OrderedDict()

    def close(self) -> None:
        """Closes the connections that no thread is using."""
        with self._lock:
            idle, self._idle = self._idle, OrderedDict()
        for connection in idle:
            connection.close()

    def get(self, origin: Origin, target: str, headers: dict[str, str], deadline: float) -> Reply:
        """Asks for ``target`` (path and query) and returns the answer; redirects are not followed.

        Args:
            deadline: value of ``time.monotonic()`` at which this ends, whatever the server does.

        Raises:
            AddressRefused: the host is inside a private network and ``origin.private`` is not set.
            TooLong: more than ``max_bytes``.
            TimeoutError: no address, no connection or no whole answer by the deadline.
            OSError, HTTPException: the connection failed or broke off.
        """
        connection = self._take(origin)
        if connection is not None:
            try:
                return self._exchange(connection, origin, target, headers, deadline)
            except (OSError, HTTPException) as error:
                if isinstance(error, TimeoutError):
                    raise
                # Otherwise the server had closed the kept connection meanwhile: a new one decides.
        return self._exchange(self._open(origin, deadline), origin, target, headers, deadline)

    def _exchange(
        self, connection: HTTPConnection, origin: Origin, target: str, headers: dict[str, str], deadline: float
    ) -> Reply:
        try:
            with _Watch(connection.sock, deadline):
                connection.request("GET", target, headers={**headers, "Host": origin.authority})
                response = connection.getresponse()
                with response:
                    body = self._body(response)
                    finished = response.isclosed()
        except BaseException:
            connection.close()
            raise
        if finished and not response.will_close:
            self._keep(connection, origin)
        else:
            connection.close()
        encoding = response.headers.get("Content-Encoding", "identity")
        return Reply(response.status, response.headers.get("Location"), encoding, body)

    def _body(self, response: HTTPResponse) -> bytes:
        if not 200 <= response.status < 300:
            if response.length is not None and response.length <= CHUNK:
                response.read()  # so that the connection can be used again
            return b""
        if response.length is not None and response.length > self._max_bytes:
            raise TooLong
        parts = []
        left = self._max_bytes
        while part := response.read(CHUNK):
            parts.append(part)
            left -= len(part)
            if left < 0:
                raise TooLong
        if response.length:
            raise ConnectionError("the connection broke off")
        return b"".join(parts)

    def _open(self, origin: Origin, deadline: float) -> HTTPConnection:
        sock = _connect(origin, deadline)
        try:
            if origin.scheme == "https":
                sock.settimeout(_left(deadline))  # the handshake as a whole ends by then
                sock = self._tls.wrap_socket(sock, server_hostname=origin.host)
            sock.settimeout(None)  # from here on the watch ends it
        except BaseException:
            sock.close()
            raise
        connection = HTTPConnection(origin.host, origin.port)
        connection.auto_open = 0  # it must never connect by itself, to an address that was not checked
        connection.sock = sock
        return connection

    def _take(self, origin: Origin) -> HTTPConnection | None:
        with self._lock:
            for connection in reversed(self._idle):
                if self._idle[connection] == origin:
                    del self._idle[connection]
                    return connection
        return None

    def _keep(self, connection: HTTPConnection, origin: Origin) -> None:
        oldest = None
        with self._lock:
            self._idle[connection] = origin
            if len(self._idle) > IDLE:
                oldest, _ = self._idle.popitem(last=False)
        if oldest is not None:
            oldest.close()


class _Watch:
    """Shuts a socket down at the deadline, and makes that a TimeoutError.

    A timeout of the socket counts from byte to byte, so a server that sends one byte a second never meets it.
    """

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._over = False
        self._timer = threading.Timer(_left(deadline), self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._timer.cancel()
        if self._over and (error is None or isinstance(error, Exception)):
            raise TimeoutError("the time is over") from None

    def _end(self) -> None:
        self._over = True
        with suppress(OSError):  # it may be closed already
            # Not SSLSocket.shutdown: it would take the TLS state away from under the thread that reads.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time is over")
    return left


def _connect(origin: Origin, deadline: float) -> socket.socket:
    addresses = _addresses(origin, deadline)
    if not origin.private and not all(_is_public(address) for address in addresses):
        raise AddressRefused(origin.host)
    failure: OSError = OSError("no address")
    for address in addresses:
        try:
            return socket.create_connection((address, origin.port), timeout=min(CONNECT_SECONDS, _left(deadline)))
        except OSError as error:
            failure = error
    raise failure


def _addresses(origin: Origin, deadline: float) -> list[str]:
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
