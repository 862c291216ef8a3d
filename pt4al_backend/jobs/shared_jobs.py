"""Finished jobs in an object store, so that hosts without a common disk share a project; the data folder is each host's copy.

Below the URL, ``projects/3/learn-4/<version>/`` holds a job's inputs and its result, and ``projects/3/learn-4/shared.json`` names
that version, with size and SHA-256 of each file. Files never change, and what names them is written last: a reader gets a whole
job or none, whatever was killed when.
"""

import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ValidationError

from pt4al_backend import artefacts
from pt4al_backend.config import ServerSettings
from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.jobs.folder import RESULT, job_of, result_of
from pt4al_backend.jobs.object_store import Gone, ObjectStore
from pt4al_backend.jobs.spec import JobKind
from pt4al_backend.locks import held

SHARED = "shared.json"
#: Beside a job, on each host: the version in the store that it is a copy of. Its time is when the copy was last used.
COPY = "version"
#: Beside a job that this host has finished and could not share yet: the version that it replaces.
UNSHARED = "unshared"
#: Below a project, on each host: the version of each job that the store had when it last said so. A job that is done again loses
#: what lies in its folder.
KNOWN = ".known"

AT_ONCE = 16  # files that are uploaded or downloaded side by side
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


class SharedJobs:
    """The jobs in an object store, and their copies below a data folder. A job's name is its path below either.

    Args:
        most: bytes of copies to keep (see ``_trim``).
    """

    def __init__(self, url: str, data_dir: Path, most: float = float("inf")) -> None:
        self.store = ObjectStore(url)
        self._data_dir = data_dir
        self._most = most
        self._exchanged: dict[str, set[str]] = {}

    @classmethod
    def of(cls, settings: ServerSettings) -> Self | None:
        """The store that the settings name, None if the data folder is all there is."""
        if not settings.artefacts_url:
            return None
        return cls(settings.artefacts_url, settings.data_dir, settings.artefacts_cache_gb * 10**9)

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
        before = _text(self._known(name))
        artefacts.atomic_write(folder / UNSHARED, before.encode())
        if shared := self._shared(name):
            before = shared.version
            artefacts.atomic_write(folder / UNSHARED, before.encode())
        version = uuid.uuid4().hex
        for parent in {(Path(name) / version / file).parent for file in files}:
            self.store.make_folder(str(parent))
        for part in _parts(files):
            on_tick()
            self.store.upload([folder / file for file in part], [f"{name}/{version}/{file}" for file in part])
        on_tick()
        self.store.write(f"{name}/{SHARED}", Shared(version=version, files=files).model_dump_json().encode())
        self._note(name, version)
        (folder / UNSHARED).unlink()
        if before:  # and no other one: somebody who was taken for dead may be uploading
            self.store.delete(f"{name}/{before}")

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
                return self._note(name, shared.version)
        if shared is not None:
            with self._locked(name):
                if not (_is_sound(folder) and _text(folder / COPY) == shared.version):
                    self._fetch_newest(name, shared, on_tick)
            self._note(name, _text(folder / COPY))
            self._trim(name)
        return None

    def _known(self, name: str) -> Path:
        return self._data_dir / Path(name).parent / KNOWN / Path(name).name

    def _note(self, name: str, version: str) -> None:
        """Notes that the job here is the store's, and that it is used now."""
        self._known(name).parent.mkdir(exist_ok=True)
        for path in (self._known(name), self._data_dir / name / COPY):
            artefacts.atomic_write(path, version.encode())

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
        files = () if _series(name)[0] == JobKind.COMPARE else (artefacts.WEIGHTS,)
        if is_copy := is_copy and artefacts.has_sound(folder / RESULT, *files):
            (folder / COPY).touch()
        return is_copy

    def _fetch_newest(self, name: str, shared: Shared, on_tick: Callable[[], None]) -> None:
        try:
            self._fetch(name, shared, on_tick)
        except Gone as gone:
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
                self.store.download([f"{name}/{shared.version}/{file}" for file in part], [folder / file for file in part])
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
        self.store.delete(name)

    def keep_only(self, project: str, names: Collection[str]) -> None:
        """Deletes the shared jobs below a project's name that came before one of these, which replaced them.

        Raises:
            StoreAway: the store refused or did not answer.
        """
        newest = dict(map(_series, sorted(names)))
        for name in self.store.below(project):
            kind, number = _series(name)
            if 0 <= number < newest.get(kind, 0):
                self.store.delete(f"{project}/{name}")

    def _shared(self, name: str) -> Shared | None:
        """What the store has of a job, None for nothing."""
        found = self.store.read(f"{name}/{SHARED}")
        try:
            return None if found is None else Shared.model_validate_json(found)
        except ValidationError:
            raise self._corrupt(name, SHARED) from None

    def _corrupt(self, name: str, file: str) -> StoreCorrupt:
        return StoreCorrupt(
            f"{file} of {name} in the artefact store {self.store.place} is missing or not what was uploaded.",
            f"Delete all below {name} there: a host that has a copy uploads it again, else the next training makes another one.",
        )

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Keeps the web process and the worker of a host from downloading the same job at once."""
        path = self._data_dir / "leases" / f"remote-{name.replace('/', '-')}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file, held(file, wait=True):
            yield


def _series(name: str) -> tuple[str, int]:
    """A job's kind and number by its name; the number is -1 for what is no job."""
    kind, _, number = name.rpartition("/")[2].rpartition("-")
    return kind, int(number) if number.isdecimal() else -1


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
