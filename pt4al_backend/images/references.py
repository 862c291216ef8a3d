"""What a task's image reference means: which server it is fetched from, and whether Label Studio's token goes along.

==============================================  ================================================================
reference                                       where it is fetched
==============================================  ================================================================
``/data/upload/…``, ``/data/local-files/?d=…``  Label Studio, with the token
the same at Label Studio's own URL, or at the   Label Studio's URL as the backend knows it, with the token: the
``hostname`` that it hands out                  other name need not be reachable from here
``s3://``, ``gs://``, ``azure-blob://``         Label Studio's presign route with the token, then where it redirects
other ``http(s)://``                            that host, without the token, and only at public addresses unless the
                                                setting ``image_hosts`` names it
``data:``                                       nowhere: it is the image itself (see ``inline``)
anything else                                   refused
==============================================  ================================================================
"""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import SplitResult, parse_qs, unquote, urljoin, urlsplit

from requests.utils import requote_uri

from pt4al_backend.errors import ConfigError, ImageUnreadable
from pt4al_backend.images.http import PORTS, Origin

CLOUD = ("s3", "gs", "azure-blob")
#: Paths of Label Studio that serve files; the token goes along with these only.
FILES = re.compile(r"/(data/|storage-data/uploaded/|tasks/\d+/(presign|resolve)/)")
SHOWN = 200  # characters of a reference in a message
ON_DISK = (
    "Files are not opened by name. Upload the image to Label Studio, or connect its folder as Local files in Settings > Cloud "
    "Storage and import from there."
)
#: How paths of Windows begin, and of a home folder.
DISK = re.compile(r"[A-Za-z]:[\\/]|\\\\|~[\w.-]*/")
#: Folders that no web server calls its paths by.
FOLDERS = re.compile(r"/(home|root|mnt|Users|Volumes|tmp|var|opt|srv|usr|etc)/")
REFUSED = {
    "file": ON_DISK,
    "data": "Upload the image to Label Studio instead of writing it into the task.",
    "": "The image field must hold a URL, or a path that Label Studio serves, such as /data/upload/….",
}


@dataclass(frozen=True)
class Target:
    """One request: ``path`` (with query) at ``origin``. ``name`` is what messages call it, free of secrets."""

    origin: Origin
    path: str
    name: str
    label_studio: bool  # requested at Label Studio's URL, by way of Label Studio alone
    token: bool
    login: str = ""  # Authorization header for a user:password in the URL itself

    @property
    def url(self) -> str:
        """What a redirect is relative to."""
        return f"{self.origin.scheme}://{self.origin.authority}{self.path}"


class References:
    """Resolves references for one Label Studio.

    Args:
        host_url: Label Studio as the backend reaches it.
        hostnames: other URLs under which it may appear in tasks; never connected to, never given the token.
        image_hosts: hosts (``name`` or ``name:port``) that may have private addresses.

    Raises:
        ConfigError: ``host_url`` is not an http(s) URL.
    """

    def __init__(self, host_url: str, hostnames: Iterable[str], image_hosts: Iterable[str]) -> None:
        remedy = "Set LABEL_STUDIO_URL to where the backend reaches Label Studio, such as http://localhost:8080."
        try:
            parts = urlsplit(host_url)
            self._home = _origin(parts, private=True)
        except ValueError:
            raise ConfigError("Label Studio's URL is not an http:// or https:// URL.", remedy) from None
        self._prefix = parts.path.rstrip("/")
        self._roots = {(_key(self._home), self._prefix)}
        for name in hostnames:
            try:
                parts = urlsplit(name)
                self._roots.add((_key(_origin(parts, private=False)), parts.path.rstrip("/")))
            except ValueError:
                continue  # an empty or odd LABEL_STUDIO_HOST: nothing appears under it
        self._image_hosts = frozenset(host.strip().lower() for host in image_hosts if host.strip())

    @property
    def health(self) -> Target:
        """The route by which Label Studio says that it is up."""
        return Target(self._home, f"{self._prefix}/health", "Label Studio", label_studio=True, token=False)

    def first(self, reference: object, task_id: int) -> Target:
        """Where to fetch what the task's image field holds.

        Raises:
            ImageUnreadable: it holds no text, or nothing that is fetched here.
        """
        if not isinstance(reference, str) or not reference.strip():
            raise ImageUnreadable("The image field of the task holds no text.", REFUSED[""])
        text = reference.strip()
        if DISK.match(text) or (FOLDERS.match(text) and not self._is_below_prefix(text)):
            raise ImageUnreadable(f"The image reference {shortened(text)} is a path on a disk.", ON_DISK)
        if text.startswith("//"):
            raise ImageUnreadable(
                f"The image reference {_name(_split(text))} lacks its scheme.", "Write https: or http: in front of it."
            )
        parts = _split(text)
        if parts.scheme in CLOUD:
            uri = base64.urlsafe_b64encode(text.encode()).decode()
            target = self._inside(f"/tasks/{task_id}/presign/", f"fileuri={uri}")
            return replace(target, name=_name(parts))
        if not parts.scheme and not parts.netloc and parts.path.startswith("/"):
            return self._inside(_below(parts.path, self._prefix) or parts.path, parts.query)
        path = self._path_at_label_studio(parts)
        if path is not None:
            return self._inside(path, parts.query)
        target = self._outside(parts)
        if parts.username is None:
            return target
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return replace(target, login="Basic " + base64.b64encode(login.encode()).decode())

    def next(self, target: Target, location: str) -> Target:
        """Where a redirect leads. Back into Label Studio with its rights only from Label Studio itself.

        Raises:
            ImageUnreadable: it leads to something that is not fetched here.
        """
        try:
            parts = _split(urljoin(target.url, location))
        except ValueError:
            raise ImageUnreadable(f"The server of {target.name} redirects to a malformed URL.") from None
        path = self._path_at_label_studio(parts) if target.label_studio else None
        if path is not None:
            return self._inside(path, parts.query)
        following = self._outside(parts)
        return replace(following, login=target.login if following.origin == target.origin else "")

    def _path_at_label_studio(self, parts: SplitResult) -> str | None:
        try:
            key = _key(_origin(parts, private=False))
        except ValueError:
            return None
        for root, prefix in self._roots:
            path = _below(parts.path, prefix)
            if key == root and path is not None:
                return path
        return None

    def _is_below_prefix(self, path: str) -> bool:
        return any(prefix and _below(path, prefix) is not None for _, prefix in self._roots)

    def _without_prefix(self, path: str) -> str:
        """A file's path without the sub-path under which Label Studio appears elsewhere: it is not served under it here."""
        for _, prefix in self._roots:
            below = _below(path, prefix) if prefix else None
            if below is not None and FILES.match(below):
                return below
        return path

    def _inside(self, path: str, query: str) -> Target:
        path = requote_uri(self._without_prefix(path))
        # A path that climbs (/data/../api/…) would take the token to a route that serves no files.
        climbs = ".." in re.split(r"[/\\]", unquote(path))
        file = parse_qs(query).get("d", []) if path.startswith("/data/local-files/") else []
        name = f"{self._home.scheme}://{self._home.authority}{self._prefix}{path}{f'?d={file[0]}' if file else ''}"
        full = self._prefix + path + ("?" + requote_uri(query) if query else "")
        return Target(self._home, full, shortened(name), label_studio=True, token=bool(FILES.match(path)) and not climbs)

    def _outside(self, parts: SplitResult) -> Target:
        if parts.scheme not in PORTS:
            remedy = REFUSED.get(parts.scheme, f"URLs that begin with {parts.scheme}: are not fetched; use http:// or https://.")
            raise ImageUnreadable(f"The image reference {_name(parts)} is not one that can be fetched.", remedy)
        try:
            origin = _origin(parts, private=False)
        except ValueError:
            raise ImageUnreadable("The image reference is a malformed URL.", "Correct the host and the port in it.") from None
        if {origin.host, f"{origin.host}:{origin.port}"} & self._image_hosts:
            origin = replace(origin, private=True)
        path = requote_uri(parts.path or "/") + ("?" + requote_uri(parts.query) if parts.query else "")
        return Target(origin, path, _name(parts), label_studio=False, token=False)


def shortened(text: str) -> str:
    """A reference for a message: of a long one the beginning, and the end with the file's name."""
    clean = "".join(letter if letter.isprintable() else "�" for letter in text)
    return clean if len(clean) <= SHOWN else f"{clean[: SHOWN // 3]}…{clean[-2 * SHOWN // 3 :]}"


def _split(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError:
        raise ImageUnreadable("The image reference is a malformed URL.", "Correct the host and the port in it.") from None


def _origin(parts: SplitResult, *, private: bool) -> Origin:
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("not an http(s) URL")
    host = parts.hostname if ":" in parts.hostname else parts.hostname.encode("idna").decode()
    return Origin(parts.scheme, host, parts.port or PORTS[parts.scheme], private)


def _key(origin: Origin) -> tuple[str, str, int]:
    return origin.scheme, origin.host, origin.port


def _below(path: str, prefix: str) -> str | None:
    """The path under a prefix, or None if it lies elsewhere."""
    return path.removeprefix(prefix) if path == prefix or path.startswith(f"{prefix}/") else None


def _name(parts: SplitResult) -> str:
    """The reference without user, password, query and fragment, which may hold secrets."""
    if parts.scheme == "data":
        return "data:…"
    host = parts.netloc.rpartition("@")[2]
    scheme = f"{parts.scheme}:" if parts.scheme else ""
    return shortened(f"{scheme}//{host}{parts.path}" if host else f"{scheme}{parts.path}")
