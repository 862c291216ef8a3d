"""Finished jobs in an object store, so that hosts without a common disk share a project; the data folder is each host's copy.

Below the URL, ``projects/3/learn-4/<version>/`` holds a job's inputs and its result, and ``projects/3/learn-4/shared.json`` names
that version, with size and SHA-256 of each file. Files never change, and what names them is written last: a reader gets a whole
job or none, whatever was killed when.
"""

import os
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Self

import fsspec
from pydantic import BaseModel, ValidationError

from pt4al_backend import artefacts
from pt4al_backend.config import ServerSettings
from pt4al_backend.errors import ConfigError, StoreAway, StoreCorrupt
from pt4al_backend.jobs.folder import RESULT, job_of, result_of
from pt4al_backend.locks import held

SHARED = "shared.json"
#: Beside a job, on each host: the version in the store that it is a copy of. Its time is when the copy was last used.
COPY = "version"
#: Beside a job that this host has finished and could not share yet: the version that it replaces.
UNSHARED = "unshared"

#: Protocols of object stores, whose keys lie in no folders.
BUCKETS = frozenset({"abfs", "abfss", "az", "gcs", "gs", "oss", "s3", "s3a"})
AT_ONCE = 16  # files that are uploaded or downloaded side by side
AWAY_SECONDS = 60.0  # before a store is asked again that did not answer
IDLE_SECONDS = 3600.0  # after which a copy may go that takes too much room


class SharedFile(BaseModel):
    """Size in bytes and SHA-256 of a file."""

    size: int
    sha256: str


class Shared(BaseModel):
    """What ``shared.json`` says: the version, and its files by their paths below the job's folder."""

    version: str
    files: dict[str, SharedFile]


def unasked() -> None:
    """A tick that nobody waits for."""


class RemoteJobs:
    """The jobs below an fsspec URL, and their copies below a data folder. A job's name is its path below either.

    A store that did not answer is not asked again for ``AWAY_SECONDS``: nobody waits for its time limits with every label.

    Args:
        most: bytes of copies to keep (see ``_trim``).
    """

    def __init__(self, url: str, data_dir: Path, most: float = float("inf")) -> None:
        self.place = shown(url)
        self._url = url
        self._data_dir = data_dir
        self._most = most
        self._away: tuple[float, StoreAway] | None = None
        self._exchanged: dict[str, set[str]] = {}

    @classmethod
    def of(cls, settings: ServerSettings) -> Self | None:
        """The store that the settings name, None if the data folder is all there is."""
        if not settings.artefacts_url:
            return None
        return cls(settings.artefacts_url, settings.data_dir, settings.artefacts_cache_gb * 10**9)

    @cached_property
    def _store(self) -> tuple[Any, str]:
        """fsspec's file system, and the path of the URL in it.

        Raises:
            ConfigError: no package is installed for the URL.
        """
        try:
            files, base = fsspec.core.url_to_fs(self._url, use_listings_cache=False)
        except (ImportError, ValueError) as error:  # whose text may hold the URL
            raise ConfigError(
                f"PT4AL_ARTEFACTS_URL names {self.place}, for which no package is installed ({type(error).__name__}).",
                "Install the extra for it, '.[s3]' for s3:// or '.[gs]' for gs://, else the package that fsspec names.",
            ) from None
        return files, base.rstrip("/")

    @property
    def _files(self) -> Any:
        return self._store[0]

    def _path(self, name: str) -> str:
        return f"{self._store[1]}/{name}"

    def push(self, name: str, on_tick: Callable[[], None] = unasked) -> None:
        """Uploads a finished job; what was shared under its name before is replaced, then deleted.

        Args:
            on_tick: called between the parts, and before others can see the job; an error that it raises ends the upload.

        Raises:
            StoreAway: the store refused or did not answer. The job is marked, and goes up with the next ``exchange``.
            StoreCorrupt: the job here is not what its manifest says, or what the store has of it cannot be read.
        """
        folder = self._data_dir / name
        files = _files_of(folder)
        before = ""
        try:
            before = shared.version if (shared := self._shared(name)) else ""
        finally:
            artefacts.atomic_write(folder / UNSHARED, before.encode())
        version = uuid.uuid4().hex
        for parent in {(Path(name) / version / file).parent for file in files}:
            self._make_folder(str(parent))
        for part in _parts(files):
            on_tick()
            with self._errors():
                there = [self._path(f"{name}/{version}/{file}") for file in part]
                self._files.put([str(folder / file) for file in part], there)
        on_tick()
        with self._errors():
            # written aside and moved: a file system has no upload that is whole at once
            aside = self._path(f"{name}/{version}/{SHARED}")
            self._files.pipe_file(aside, Shared(version=version, files=files).model_dump_json().encode())
            self._files.mv(aside, self._path(f"{name}/{SHARED}"))
        artefacts.atomic_write(folder / COPY, version.encode())
        (folder / UNSHARED).unlink()
        if before:  # and no other one: somebody who was taken for dead may be uploading
            self.forget(f"{name}/{before}")

    def exchange(self, name: str, on_tick: Callable[[], None] = unasked) -> None:
        """Uploads a job that this host alone has, or downloads it if the store's version is another one or the copy is damaged.

        A job that could not be uploaded goes up unless another host has shared one of its name since: then that one did it again.

        Raises:
            StoreAway: the store refused or did not answer.
            StoreCorrupt: an object is not what was uploaded.
        """
        folder = self._data_dir / name
        shared = self._shared(name)
        if _is_sound(folder):
            replaces = _text(folder / UNSHARED)
            if shared is None or (replaces and replaces == shared.version):
                return self.push(name, on_tick)
            if _text(folder / COPY) == shared.version:
                return (folder / COPY).touch()
        if shared is not None:
            with self._locked(name):
                if not (_is_sound(folder) and _text(folder / COPY) == shared.version):
                    self._fetch_newest(name, shared, on_tick)
            self._trim(name)
        return None

    def exchange_all(self, project: str, names: set[str], on_tick: Callable[[], None] = unasked) -> None:
        """Exchanges the jobs that the state names of a project, and deletes from the store what they replaced.

        What was exchanged is not asked for again: a job that the state names is never done again under its name.

        Raises:
            ConfigError, StoreAway, StoreCorrupt: as ``exchange`` says.
        """
        if self._exchanged.get(project) == names and all(map(self._is_here, names)):
            return
        for name in sorted(names):
            self.exchange(name, on_tick)
        on_tick()  # raises where another host has the project by now, and may have shared more than these
        self.keep_only(project, names)
        self._exchanged[project] = names

    def _is_here(self, name: str) -> bool:
        """Whether this host has a job as the store had it at the last ``exchange``; asks no store, and notes that it is used."""
        folder = self._data_dir / name
        is_copy = (folder / COPY).exists() and not (folder / UNSHARED).exists()
        if is_copy := is_copy and artefacts.has_sound(folder / RESULT, artefacts.WEIGHTS):
            (folder / COPY).touch()
        return is_copy

    def _fetch_newest(self, name: str, shared: Shared, on_tick: Callable[[], None]) -> None:
        try:
            self._fetch(name, shared, on_tick)
        except _Gone as gone:
            again = self._shared(name)
            if again is None or again.version == shared.version:
                raise self._corrupt(name, str(gone)) from None
            self._fetch_newest(name, again, on_tick)  # it was replaced meanwhile

    def _fetch(self, name: str, shared: Shared, on_tick: Callable[[], None]) -> None:
        with artefacts.placing(self._data_dir / name) as folder:
            inside = folder.resolve()
            if not all((folder / file).resolve().is_relative_to(inside) for file in shared.files):
                raise self._corrupt(name, SHARED)
            for part in _parts(shared.files):
                on_tick()
                for file in part:
                    (folder / file).parent.mkdir(parents=True, exist_ok=True)
                with self._errors():
                    try:
                        there = [self._path(f"{name}/{shared.version}/{file}") for file in part]
                        self._files.get(there, [str(folder / file) for file in part])
                    except FileNotFoundError:
                        raise _Gone("A file") from None
                for file in part:
                    if (folder / file).stat().st_size != shared.files[file].size:
                        raise self._corrupt(name, file)
                    if artefacts.digest(folder / file) != shared.files[file].sha256:
                        raise self._corrupt(name, file)
            if not _is_sound(folder):
                raise self._corrupt(name, SHARED)
            (folder / COPY).write_text(shared.version)

    def _trim(self, used: str) -> None:
        """Deletes the copies that were used longest ago, until the rest is no more than ``most`` bytes.

        Kept whatever they are: ``used``, what was used within ``IDLE_SECONDS``, and what a job names that is not done.
        """
        jobs = [job_of(path.parent) for path in self._data_dir.glob("projects/*/*/job.json") if not result_of(path.parent)]
        named = {str(path) for job in jobs if job for path in (job.learner, getattr(job, "previous", None)) if path}
        copies = [(path.stat().st_mtime, path.parent) for path in self._data_dir.glob(f"projects/*/*/{COPY}")]
        left = float(self._most)
        for used_at, folder in sorted(copies, reverse=True):
            left -= sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            is_idle = time.time() - used_at > IDLE_SECONDS
            if left < 0 and is_idle and folder != self._data_dir / used and str(folder / RESULT) not in named:
                shutil.rmtree(folder)

    def forget(self, name: str) -> None:
        """Deletes what is below a name, such as a whole project's ``projects/3``.

        Raises:
            StoreAway: the store refused or did not answer.
        """
        with self._errors():
            if self._files.exists(self._path(name)):
                self._files.rm(self._path(name), recursive=True)

    def keep_only(self, project: str, names: Collection[str]) -> None:
        """Deletes the shared jobs below a project's name, but for these.

        Raises:
            StoreAway: the store refused or did not answer.
        """
        with self._errors():
            try:
                there = self._files.ls(self._path(project), detail=False)
            except FileNotFoundError:
                return
            for path in there:
                if f"{project}/{path.rstrip('/').rpartition('/')[2]}" not in names:
                    self._files.rm(path, recursive=True)

    def probe(self) -> None:
        """Writes an object, reads it and deletes it.

        Raises:
            StoreAway: one of the three failed.
        """
        path = self._path(f"probe-{uuid.uuid4().hex}")
        self._make_folder("")
        with self._errors():
            self._files.pipe_file(path, b"pt4al")
            if self._files.cat_file(path) != b"pt4al":
                raise StoreAway(f"The artefact store {self.place} does not give back what was written.")
            self._files.rm_file(path)

    def _make_folder(self, name: str) -> None:
        """Makes a folder where there are such; a bucket has none, and one that is misspelt is not to be made."""
        if self._url.partition("://")[0] not in BUCKETS:
            with self._errors():
                self._files.makedirs(self._path(name), exist_ok=True)

    def _shared(self, name: str) -> Shared | None:
        """What the store has of a job, None for nothing."""
        with self._errors():
            try:
                return Shared.model_validate_json(self._files.cat_file(self._path(f"{name}/{SHARED}")))
            except FileNotFoundError:
                return None
            except ValidationError:
                raise self._corrupt(name, SHARED) from None

    def _corrupt(self, name: str, file: str) -> StoreCorrupt:
        return StoreCorrupt(
            f"{file} of {name} in the artefact store {self.place} is missing or not what was uploaded.",
            f"Delete all below {name} there: a host that has a copy uploads it again, else the next training makes another one.",
        )

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Keeps the web process and the worker of a host from downloading the same job at once."""
        path = self._data_dir / "leases" / f"remote-{name.replace('/', '-')}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file, held(file, wait=True):
            yield

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turns errors of any protocol, each of which has its own, into one that holds no secret."""
        if self._away and time.monotonic() < self._away[0]:
            raise self._away[1]
        try:
            yield
        except (ConfigError, StoreAway, StoreCorrupt, _Gone):
            raise
        except Exception as error:
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
            away = StoreAway(
                f"The artefact store {self.place} cannot be used now ({reason}). Work goes on with what this host has.",
                "It is tried again within a minute or two. If it lasts, see that PT4AL_ARTEFACTS_URL, its credentials and the "
                "free space there and here are right; pt4al doctor checks them.",
            )
            self._away = (time.monotonic() + AWAY_SECONDS, away)
            raise away from None


class _Gone(Exception):
    """An object that ``shared.json`` names is not there."""


def shown(url: str) -> str:
    """A URL without user, password and query, which may be secrets."""
    protocol, _, place = url.partition("://")  # no parser: it knows no chained URLs, and ends a user with the first slash
    return f"{protocol}://{place.rpartition('@')[2].partition('?')[0]}"


def _text(path: Path) -> str:
    """What a small file says, "" if it is not there."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _is_sound(folder: Path) -> bool:
    """Whether a job and its result are what was written."""
    return artefacts.is_complete(folder) and artefacts.is_complete(folder / RESULT)


def _files_of(folder: Path) -> dict[str, SharedFile]:
    """The files of a job and of its result, as the manifests of the two list them; no checkpoint and no log.

    Raises:
        StoreCorrupt: they are not what the manifests say.
    """
    found: dict[str, SharedFile] = {}
    for part in (folder, folder / RESULT):
        listed = {**artefacts.manifest(part)["files"], artefacts.MANIFEST: artefacts.digest(part / artefacts.MANIFEST)}
        for name, sha256 in listed.items():
            path = part / name
            found[str(path.relative_to(folder))] = SharedFile(size=path.stat().st_size, sha256=sha256)
    return found


def _parts(files: Iterable[str]) -> Iterator[list[str]]:
    """A few files at a time."""
    names = iter(files)
    while part := list(islice(names, AT_ONCE)):
        yield part
