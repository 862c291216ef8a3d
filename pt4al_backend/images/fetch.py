"""Fetches the file behind a task's image reference, within bounds of bytes and time.

Redirects are followed by hand, at most three, each checked like a first reference. The token goes to Label Studio's
own URL and nowhere else. Failures differ by whose they are: the image's (it is set aside), its host's (it is set
aside and may be tried again), or Label Studio's (nothing is set aside, the engine waits).
"""

import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Protocol, Self

from pt4al_backend import __version__
from pt4al_backend.config import ServerSettings
from pt4al_backend.errors import AuthError, ImageUnreadable, LabelStudioError, Unreachable
from pt4al_backend.images.http import AddressRefused, Connections, Reply, TooLong
from pt4al_backend.images.inline import is_inline, is_kept, kept, unpacked
from pt4al_backend.images.references import ON_DISK, References, Target

REDIRECTS = 3
REDIRECTING = (301, 302, 303, 307, 308)
HEALTH_SECONDS = 5.0
#: Content codings that are unpacked; another one is taken for none.
GZIP = ("gzip", "x-gzip", "deflate")
#: After this many failures in a row a host is left alone for this many seconds: a dead one must not hold up the others.
FAILURES, PAUSE_SECONDS = 20, 60.0


class Authorize(Protocol):
    """Gives the headers that carry Label Studio's token; ``refresh`` says that the last ones were refused."""

    def __call__(self, *, refresh: bool = False) -> dict[str, str]: ...


class Fetcher:
    """Fetches images for one Label Studio; any number of threads may share it.

    Args:
        host_url: Label Studio as the backend reaches it.
        authorize: called once per request to Label Studio, and again with ``refresh=True`` after a 401.
        hostnames: other URLs under which Label Studio appears in tasks, such as the ``hostname`` it hands out.
        find: the image field of a task of which only a digest was kept (see ``inline``).

    Raises:
        ConfigError: ``host_url`` is not a URL, or REQUESTS_CA_BUNDLE cannot be read.
    """

    def __init__(
        self,
        settings: ServerSettings,
        host_url: str,
        authorize: Authorize,
        hostnames: Iterable[str] = (),
        find: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._find = find
        self._finding = threading.Lock()  # one long text at a time
        self._seconds = settings.image_seconds
        self._max_bytes = settings.image_max_bytes
        self._authorize = authorize
        self._references = References(host_url, hostnames, settings.image_hosts.split(","))
        self._connections = Connections(settings.image_max_bytes)
        self._patience = _Patience()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections that are kept open between images."""
        self._connections.close()

    def fetch(self, reference: object, task_id: int) -> bytes:
        """Returns the file that ``reference``, the content of the task's image field, names.

        Raises:
            ImageUnreadable: this image cannot be had; ``transient`` if its host may do better later.
            AuthError: Label Studio refused the token twice.
            Unreachable: Label Studio itself is down.
        """
        if is_inline(reference):
            return self._inline(str(reference), task_id)
        deadline = time.monotonic() + self._seconds
        target = self._references.first(reference, task_id)
        for _ in range(REDIRECTS + 1):
            reply = self._ask(target, deadline)
            if reply.status not in REDIRECTING or not reply.location:
                return self._file(target, reply)
            target = self._references.next(target, reply.location)
        raise ImageUnreadable(f"The image {target.name} is behind more than {REDIRECTS} redirects.", "Give its final URL.")

    def _inline(self, reference: str, task_id: int) -> bytes:
        """The image that stands in the task itself."""
        if not is_kept(reference):
            return unpacked(reference, self._max_bytes)
        with self._finding:
            found = self._find(task_id)
            if not isinstance(found, str) or kept(found) != reference:
                raise ImageUnreadable("The image in the task has just been replaced.", "It is tried again later.", transient=True)
            return unpacked(found, self._max_bytes)

    def _ask(self, target: Target, deadline: float) -> Reply:
        if not target.token:
            return self._get(target, {"Authorization": target.login} if target.login else {}, deadline)
        reply = self._get(target, self._authorize(), deadline)
        if reply.status == 401:
            reply = self._get(target, self._authorize(refresh=True), deadline)
        if reply.status == 401:
            raise AuthError(
                "Label Studio refused the token when an image was requested.",
                "Set LABEL_STUDIO_API_KEY to a valid token: in Label Studio, Account & Settings > Personal Access Token.",
            )
        return reply

    def _get(self, target: Target, headers: dict[str, str], deadline: float) -> Reply:
        host = target.origin.authority
        if not target.label_studio:
            self._patience.check(host)
        headers = {
            "User-Agent": f"pt4al-backend/{__version__}",
            "Accept": "image/*, */*",
            "Accept-Encoding": "identity",
            **headers,
        }
        try:
            reply = self._connections.get(target.origin, target.path, headers, deadline)
        except AddressRefused:
            raise ImageUnreadable(
                f"The image {target.name} is on a host with a private address, which is not contacted without permission.",
                f"If that host is yours, add {target.origin.host} to PT4AL_IMAGE_HOSTS and start the backend again.",
            ) from None
        except TooLong:
            raise self._too_long(target) from None
        except OSError as error:
            if target.label_studio:
                raise self._blame(target, self._why(error)) from None
            self._patience.failed(host)
            raise _transient(target, f"its host {self._why(error)}") from None
        self._patience.answered(host)
        return reply

    def _file(self, target: Target, reply: Reply) -> bytes:
        """The body of a success; every other status is an error."""
        status = reply.status
        if 200 <= status < 300:
            return self._unpacked(target, reply)
        if status >= 500 and target.label_studio:
            raise self._blame(target, f"answered with status {status}")
        if status >= 500 or status in (408, 425, 429):
            raise _transient(target, f"its host answered with status {status}")
        where = "Label Studio" if target.label_studio else "Its host"
        remedy = "Check that the file is still there and that the URL in the task is right."
        if status in (401, 403):
            remedy = "Check that it can be read without signing in, or by the user whose token the backend has."
        elif status == 404 and "/presign/" in target.path:
            remedy = "Check that a source storage in Settings > Cloud Storage covers it."
        elif target.label_studio and not target.token:
            remedy = f"Label Studio serves no such file. If this is a path on a disk: {ON_DISK}"
        if status in (401, 403, 404) and "/data/local-files/" in target.path:
            remedy = (
                "Check that the file is there, that a Local files storage of this project covers its folder (Settings > Cloud "
                "Storage), and that Label Studio runs with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true."
            )
        raise ImageUnreadable(f"The image {target.name} cannot be fetched. {where} answered with status {status}.", remedy)

    def _unpacked(self, target: Target, reply: Reply) -> bytes:
        """The file as browsers take it: stores pass on whatever coding an uploader named, and most are none (aws-chunked)."""
        codings = [coding.strip().lower() for coding in reply.encoding.split(",")]
        body = reply.body
        for _ in range(sum(coding in GZIP for coding in codings)):
            unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # gzip and zlib alike
            try:
                body = unpacking.decompress(body, self._max_bytes + 1)
            except zlib.error:
                what = f"The image {target.name} was sent with {reply.encoding[:20]!r} compression and cannot be unpacked."
                raise ImageUnreadable(what, "Upload it again without Content-Encoding.") from None
            if len(body) > self._max_bytes:
                raise self._too_long(target)
        return body

    def _too_long(self, target: Target) -> ImageUnreadable:
        return ImageUnreadable(
            f"The image {target.name} is longer than {self._max_bytes:,} bytes.",
            "Import a smaller version, or raise PT4AL_IMAGE_MAX_BYTES.",
        )

    def _blame(self, target: Target, what: str) -> LabelStudioError | ImageUnreadable:
        """Tells one image that Label Studio cannot serve from a Label Studio that is down, by asking for its health."""
        health = self._references.health
        try:
            reply = self._connections.get(health.origin, health.path, {}, time.monotonic() + min(HEALTH_SECONDS, self._seconds))
            if reply.status < 500:
                # Version 1.23 answers 500 for an uploaded file that is gone.
                return _transient(target, f"Label Studio {what}, for this image alone", "Check that the file is still there.")
        except (OSError, TooLong):
            pass
        return Unreachable(
            f"Label Studio at {health.origin.scheme}://{health.origin.authority} {what}.",
            "Start it, or correct LABEL_STUDIO_URL. The backend continues by itself as soon as it answers.",
        )

    def _why(self, error: Exception) -> str:
        """The failure in words; never the library's own, which may quote the URL with its secrets."""
        if isinstance(error, TimeoutError):
            return f"was not done in time (PT4AL_IMAGE_SECONDS is {self._seconds:g})"
        if isinstance(error, socket.gaierror):
            return "cannot be found by its name"
        if isinstance(error, ssl.SSLCertVerificationError):
            return "has a certificate that is not trusted here (add its authority by REQUESTS_CA_BUNDLE)"
        if isinstance(error, ConnectionRefusedError):
            return "refuses connections"
        return "broke off the connection"


class _Patience:
    """Counts the failures of each host in a row."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: dict[str, tuple[int, float]] = {}

    def check(self, host: str) -> None:
        failures, last = self._failures.get(host, (0, 0.0))
        if failures >= FAILURES and time.monotonic() < last + PAUSE_SECONDS:
            message = f"The host {host} failed {failures} times in a row and is left alone for a minute."
            raise ImageUnreadable(message, "Check that the backend can reach it.", transient=True)

    def failed(self, host: str) -> None:
        with self._lock:
            failures, _ = self._failures.get(host, (0, 0.0))
            self._failures[host] = failures + 1, time.monotonic()

    def answered(self, host: str) -> None:
        with self._lock:
            self._failures.pop(host, None)


def _transient(target: Target, why: str, remedy: str = "") -> ImageUnreadable:
    message = f"The image {target.name} could not be fetched: {why}."
    return ImageUnreadable(message, f"{remedy} It is tried again later.".strip(), transient=True)
