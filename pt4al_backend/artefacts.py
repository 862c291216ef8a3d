"""Files that outlive a crash: single files (``atomic_write``), and artefacts, which are folders with a manifest.

Both are written under a temporary name beside their own, flushed to the disk, renamed, and their folder is flushed. A reader
sees the old content or the new, never a part of it, whatever was killed when.

An artefact is a folder with ``manifest.json`` and the files that the manifest lists with their SHA-256.
"""

import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from pt4al_backend.errors import StoreCorrupt

log = logging.getLogger(__name__)

#: Of the manifests that are written. Those of schema 1 are read alike: their settings are those of a version before.
SCHEMA = 2
READABLE = (1, SCHEMA)
MANIFEST = "manifest.json"
#: The file of a network's weights, in those artefacts that hold one.
WEIGHTS = "weights.pt"
#: The file of a head that was trained apart from the network below it, which is in ``WEIGHTS``.
HEAD = "head.npz"

#: Files that are flushed at a time: thousands of masks one after the other take half a minute, eight at a time a second.
FLUSHES = 8

_PART = ".part"
_OLD_PART = re.compile(r"\.(rank-\d+|learn-\d+|score|result)\.[a-z0-9_]{8}")  # folders of version 0.1.0

Bytes = bytes | bytearray | memoryview


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def writing(target: Path, **manifest: Any) -> Iterator[Path]:
    """Gives an empty folder to write files into; on leaving without an error it becomes ``target``.

    ``manifest`` is any JSON; ``schema`` and ``files`` are added. An older artefact of the same name is replaced.
    """
    with placing(target) as folder:
        yield folder
        files = {str(p.relative_to(folder)): digest(p) for p in sorted(folder.rglob("*")) if p.is_file()}
        text = json.dumps({"schema": SCHEMA, "files": files, **manifest}, indent=1)
        (folder / MANIFEST).write_text(text)


@contextmanager
def placing(target: Path) -> Iterator[Path]:
    """As ``writing``, of a folder that gets its manifest with its other files."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder, lock = _claimed(lambda: Path(tempfile.mkdtemp(_PART, f".{target.name}.", target.parent)))
    try:
        yield folder
        with ThreadPoolExecutor(FLUSHES) as threads:
            list(threads.map(_flush, [path for path in folder.rglob("*") if path.is_file()]))
        _flush(folder)
        if target.exists():
            shutil.rmtree(target)
        folder.rename(target)
        _flush(target.parent)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def atomic_write(path: Path, data: Bytes | Iterable[Bytes]) -> None:
    """Writes a file, or replaces it, in one step that survives a crash and a power cut.

    Several processes or threads may write the same name: the last one wins, and none harms another. What is written on the
    way is deleted again if writing fails, so that a full disk gets its bytes back; a writer that is killed leaves it behind
    (see ``remove_leftovers``).

    Args:
        path: the file. Its folder must exist.
        data: its bytes, or pieces of them in order; an error while the pieces are made leaves the file as it was.

    Raises:
        OSError: the disk is full or failing.
    """

    def made() -> Path:
        part = path.with_name(f".{path.name}.{uuid.uuid4().hex}{_PART}")
        part.touch(exist_ok=False)
        return part

    part, lock = _claimed(made)
    try:
        with part.open("wb") as file:
            for piece in (data,) if isinstance(data, Bytes) else data:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    finally:
        os.close(lock)
    _flush(path.parent)


def _claimed(make: Callable[[], Path]) -> tuple[Path, int]:
    """Makes a temporary file or folder and locks it, which shows that its writer lives; returns it and the lock's descriptor."""
    while True:
        path = make()
        try:
            lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # taken for a leftover before it was locked
            continue
        with suppress(OSError):  # a file system without locks: nothing there is ever taken for a leftover
            fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return path, lock
        os.close(lock)


def remove_leftovers(folder: Path) -> None:
    """Deletes what writers that were killed left in a folder and below it, never what a live writer is writing."""
    for path in sorted(folder.rglob(".*")):
        if not (path.name.endswith(_PART) or _OLD_PART.fullmatch(path.name)):
            continue
        with suppress(OSError):  # gone, or locked by its writer
            lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
                log.info("Removed %s, which a writer that was killed left behind.", path)
            finally:
                os.close(lock)


def manifest(folder: Path, *, check: bool = True) -> dict[str, Any]:
    """Reads an artefact's manifest, and checks its files against it unless ``check`` is off.

    Raises:
        StoreCorrupt: no manifest, another schema, or a file that is missing or altered.
    """
    remedy = f"Delete {folder}; it is made again by the next training."
    try:
        found = json.loads((folder / MANIFEST).read_text())
        if not isinstance(found, dict) or not isinstance(found.get("files"), dict):
            raise ValueError("it lists no files")
    except (OSError, ValueError) as error:
        raise StoreCorrupt(f"The artefact {folder.name} has no readable manifest ({error}).", remedy) from error
    if found.get("schema") not in READABLE:
        raise StoreCorrupt(f"The artefact {folder.name} has schema {found.get('schema')}, not {SCHEMA}.", remedy)
    for name, recorded in found["files"].items() if check else ():
        path = folder / name
        if not path.is_file() or digest(path) != recorded:
            raise StoreCorrupt(f"The file {name} of the artefact {folder.name} is missing or altered.", remedy)
    return dict(found)


def has_sound(folder: Path, *names: str) -> bool:
    """Whether an artefact's manifest can be read and these files are what it says; quick if they were the same a moment ago."""
    try:
        files = json.loads((folder / MANIFEST).read_text())["files"]
        return all(_digest_of_version(folder / name, _version(folder / name)) == files[name] for name in names)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _version(path: Path) -> tuple[int, ...]:
    """Changes when a file does."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@lru_cache(maxsize=1024)
def _digest_of_version(path: Path, _: tuple[int, ...]) -> str:
    return digest(path)


def is_complete(folder: Path | None) -> bool:
    """Whether ``folder`` holds an artefact that passes its own manifest."""
    if folder is None:
        return False
    try:
        manifest(folder)
    except StoreCorrupt:
        return False
    return True
