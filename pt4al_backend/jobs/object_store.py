"""An object store by an fsspec URL: what is written there is whole or not there, and its errors hold no secret."""

import errno
import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec

from pt4al_backend.errors import ConfigError, StoreAway, StoreCorrupt

#: Protocols of object stores, whose keys lie in no folders.
BUCKETS = frozenset({"abfs", "abfss", "az", "gcs", "gs", "oss", "s3", "s3a"})
AWAY_SECONDS = 60.0  # before a store is asked again that did not answer

#: What went wrong, in words, and what to do, by the number of an error. Packages translate their services' codes to these.
CAUSES: Mapping[int, tuple[str, str]] = {
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM),
        (
            "it refuses the credentials",
            "See that they have not expired, that they may list, read, write and delete there, and that this host's clock is "
            "right. New ones in the environment are read when web process and worker start again.",
        ),
    ),
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT),
        ("it is full, or the disk of PT4AL_DATA_DIR is", "Free space there, or here, or have its quota raised."),
    ),
    errno.ENOENT: ("there is no such bucket or folder", "Make it, or set {setting} to the one that is meant."),
}
#: Codes of services for a store that is full, which packages do not translate.
FULL = re.compile(r"\b(InsufficientStorage|QuotaExceeded\w*|StorageFull|XMinioStorageFull|EntityTooLarge)\b")
#: Codes for credentials that were right once, which they take for a bad request.
EXPIRED = re.compile(r"\b(ExpiredToken\w*|InvalidToken|TokenRefreshRequired|RequestExpired)\b")


@dataclass(frozen=True)
class Use:
    """What a store is for: what people call it, what sets its URL, what happens without it, and what else to do then."""

    noun: str
    setting: str
    without: str
    otherwise: str


ARTEFACTS = Use(
    "artefact store",
    "PT4AL_ARTEFACTS_URL",
    "Work goes on with what this host has; it is tried again within a minute or two.",
    "See that what PT4AL_ARTEFACTS_URL names answers from this host; pt4al doctor writes an object there, and reads it.",
)


class Gone(Exception):
    """An object that another one names is not there."""


class ObjectStore:
    """Objects below a URL, by their names.

    A store that did not answer is not asked again for ``away_seconds``: nobody waits for its time limits with every label. All
    methods raise ``StoreAway`` if it refuses or does not answer, and ``ConfigError`` if no package is installed for the URL.
    """

    def __init__(self, url: str, use: Use = ARTEFACTS, away_seconds: float = AWAY_SECONDS) -> None:
        self.place = shown(url)
        self._away_seconds = away_seconds
        self._use = use
        self._url = url
        self._away: tuple[float, StoreAway] | None = None

    def read(self, name: str) -> bytes | None:
        """An object's bytes, None if there is none."""
        with self._errors():
            try:
                return bytes(self._files.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

    def write(self, name: str, data: bytes) -> None:
        """Writes an object, or replaces it, in one step; its folder is made with ``make_folder``."""
        with self._errors():
            # written aside and moved: a file system has no upload that is whole at once
            aside = self._path(f"{name}.{uuid.uuid4().hex}")
            self._files.pipe_file(aside, data)
            self._files.mv(aside, self._path(name))

    def upload(self, paths: Sequence[Path], names: Sequence[str]) -> None:
        """Uploads some files side by side. One that is half done when this is killed is there as far as it got."""
        with self._errors():
            self._files.put([str(path) for path in paths], [self._path(name) for name in names])

    def download(self, names: Sequence[str], paths: Sequence[Path]) -> None:
        """Downloads some files side by side.

        Raises:
            Gone: one of them is not there.
        """
        with self._errors():
            try:
                self._files.get([self._path(name) for name in names], [str(path) for path in paths])
            except FileNotFoundError:
                raise Gone("A file") from None

    def below(self, name: str) -> list[str]:
        """The last parts of the names right below one."""
        with self._errors():
            try:
                return [path.rstrip("/").rpartition("/")[2] for path in self._files.ls(self._path(name), detail=False)]
            except FileNotFoundError:
                return []

    def delete(self, name: str) -> None:
        """Deletes an object, and all below it, if there is one."""
        with self._errors():
            if self._files.exists(self._path(name)):
                self._files.rm(self._path(name), recursive=True)

    def make_folder(self, name: str) -> None:
        """Makes a folder where there are such; a bucket has none, and one that is misspelt is not to be made."""
        if self._url.partition("://")[0] not in BUCKETS:
            with self._errors():
                self._files.makedirs(self._path(name), exist_ok=True)

    def probe(self) -> None:
        """Writes an object, reads it and deletes it."""
        name = f"probe-{uuid.uuid4().hex}"
        self.make_folder("")
        with self._errors():
            self._files.pipe_file(self._path(name), b"pt4al")
            if self._files.cat_file(self._path(name)) != b"pt4al":
                raise StoreAway(f"The {self._use.noun} {self.place} does not give back what was written.")
            self._files.rm_file(self._path(name))

    @cached_property
    def _store(self) -> tuple[Any, str]:
        """fsspec's file system, and the path of the URL in it."""
        protocol = self._url.partition("://")[0].rpartition("::")[2]
        if protocol not in {*fsspec.available_protocols(), *fsspec.registry}:
            raise ConfigError(
                f"{self._use.setting} names {self.place}, and nothing is known of {protocol}://.",
                "Set it to a URL that begins with s3://, gs:// or file:///, or with another protocol that fsspec knows.",
            )
        try:
            files, base = fsspec.core.url_to_fs(self._url, use_listings_cache=False)
        except (ImportError, ValueError) as error:  # whose text may hold the URL
            raise ConfigError(
                f"{self._use.setting} names {self.place}, for which no package is installed ({type(error).__name__}).",
                "Install the extra for it, '.[s3]' for s3:// or '.[gs]' for gs://, else the package that fsspec names.",
            ) from None
        return files, base.rstrip("/")

    @property
    def _files(self) -> Any:
        return self._store[0]

    def _path(self, name: str) -> str:
        return f"{self._store[1]}/{name}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turns errors of any protocol, each of which has its own, into one that holds no secret."""
        if self._away and time.monotonic() < self._away[0]:
            raise self._away[1]
        try:
            yield
        except (ConfigError, StoreAway, StoreCorrupt, Gone):
            raise
        except Exception as error:
            away = self._why_away(error)
            self._away = (time.monotonic() + self._away_seconds, away)
            raise away from None

    def _why_away(self, error: Exception) -> StoreAway:
        number = error.errno if isinstance(error, OSError) else None
        said = f"{error} {error.__cause__}"
        if isinstance(error, PermissionError) or EXPIRED.search(said):
            number = errno.EACCES
        elif isinstance(error, FileNotFoundError):
            number = errno.ENOENT
        elif FULL.search(said):
            number = errno.ENOSPC
        if number is not None and number in CAUSES:
            reason, remedy = CAUSES[number]
        else:
            reason, remedy = os.strerror(number) if number else type(error).__name__, self._use.otherwise
        said = f"The {self._use.noun} {self.place} cannot be used now: {reason}. {self._use.without}"
        return StoreAway(said, remedy.format(setting=self._use.setting))


def shown(url: str) -> str:
    """A URL without user, password and query, which may be secrets."""
    protocol, _, place = url.partition("://")  # no parser: it knows no chained URLs, and ends a user with the first slash
    return f"{protocol}://{place.rpartition('@')[2].partition('?')[0]}"
