"""Artefacts and small files on disk: written under a temporary name, flushed, renamed; artefacts have a manifest.

An artefact is a folder with ``manifest.json`` and the files that the manifest lists with their SHA-256. A reader sees
the whole folder or none of it, whatever was killed when.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pt4al_backend.errors import StoreCorrupt

SCHEMA = 1
MANIFEST = "manifest.json"

#: Files that are flushed at a time: thousands of masks one after the other take half a minute, eight at a time a second.
FLUSHES = 8


def _digest(path: Path) -> str:
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
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield folder
        files = {str(p.relative_to(folder)): _digest(p) for p in sorted(folder.rglob("*")) if p.is_file()}
        text = json.dumps({"schema": SCHEMA, "files": files, **manifest}, indent=1)
        (folder / MANIFEST).write_text(text)
        with ThreadPoolExecutor(FLUSHES) as threads:
            list(threads.map(_flush, [folder / name for name in (*files, MANIFEST)]))
        _flush(folder)
        if target.exists():
            shutil.rmtree(target)
        folder.rename(target)
        _flush(target.parent)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def rewrite(path: Path, text: str) -> None:
    """Writes a text file anew; a reader sees all of the old text or all of the new. For one process at a time."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    _flush(part)
    part.replace(path)
    _flush(path.parent)


def manifest(folder: Path) -> dict[str, Any]:
    """Reads and checks an artefact's manifest.

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
    if found.get("schema") != SCHEMA:
        raise StoreCorrupt(f"The artefact {folder.name} has schema {found.get('schema')}, not {SCHEMA}.", remedy)
    for name, digest in found["files"].items():
        path = folder / name
        if not path.is_file() or _digest(path) != digest:
            raise StoreCorrupt(f"The file {name} of the artefact {folder.name} is missing or altered.", remedy)
    return dict(found)


def is_complete(folder: Path | None) -> bool:
    """Whether ``folder`` holds an artefact that passes its own manifest."""
    if folder is None:
        return False
    try:
        manifest(folder)
    except StoreCorrupt:
        return False
    return True
