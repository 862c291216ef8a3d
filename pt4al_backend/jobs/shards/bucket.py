"""The work folder in an object store, for hosts without a common disk.

``shards/000012.json`` names the version of a shard, whose files are below ``shards/000012/VERSION/``. It is written last, so that
a shard is there as a whole or not at all.

An object store has no locks. A claim is an object that its holder rewrites every few seconds; whoever has seen the same content
for ``stale`` seconds of its own clock takes it over. Should two ever hold a claim, both write the same shard; nothing is lost.
"""

import json
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pt4al_backend import artefacts
from pt4al_backend.errors import StoreAway, StoreCorrupt
from pt4al_backend.jobs.object_store import Gone, ObjectStore, Use
from pt4al_backend.jobs.shards.folder import WorkFolder, manifest_of, shard_name
from pt4al_backend.jobs.shards.plan import Plan
from pt4al_backend.jobs.shards.shard import FILES, Shard

VERSION = "version"
WORK = Use(
    "work folder",
    "--work-dir",
    "Run the same command again: it goes on where it was.",
    "See that what --work-dir names answers from this host.",
)


class BucketFolder(WorkFolder):
    """Below an fsspec URL; ``copies`` is a folder of this host, in which checked copies of shards are kept.

    Attributes:
        beat: seconds between two rewritings of a claim.
        stale: those after which one that is not rewritten is free.
        settled: those until a new one counts.
    """

    seconds = 5.0
    beat, stale, settled = 10.0, 60.0, 1.0

    def __init__(self, url: str, copies: Path) -> None:
        self._store = ObjectStore(url, WORK, away_seconds=0.0)  # a claim would be stale before it is rewritten
        self.place, self.shards = self._store.place, copies
        self.shards.mkdir(parents=True, exist_ok=True)
        self._seen: dict[str, tuple[bytes, float]] = {}
        for folder in ("", "shards", "claims"):
            self._store.make_folder(folder)

    def read(self, name: str) -> bytes | None:
        return self._store.read(name)

    def write(self, name: str, data: bytes) -> None:
        self._store.make_folder(name.rpartition("/")[0])
        self._store.write(name, data)

    def _there(self) -> set[int]:
        named = (name for name in self._store.below("shards") if name.endswith(".json"))
        return {int(name.removesuffix(".json")) for name in named}

    def put(self, plan: Plan, number: int, shard: Shard) -> None:
        version, copy = uuid.uuid4().hex, self.shards / shard_name(number)
        with artefacts.writing(copy, **manifest_of(plan, number)) as folder:
            shard.write(folder)
        there = f"{_of(number)}/{version}"
        self._store.make_folder(there)
        self._store.upload([copy / file for file in FILES], [f"{there}/{file}" for file in FILES])
        self._store.write(f"{_of(number)}.json", json.dumps({VERSION: version}).encode())
        shutil.rmtree(copy)

    def _checked(self, number: int) -> Path:
        """As ``WorkFolder`` says; a sound copy that is here is not downloaded again.

        Raises:
            StoreAway: the store refused or did not answer.
        """
        version, copy = self._version(number), self.shards / shard_name(number)
        with suppress(FileNotFoundError):
            if (copy / VERSION).read_text() == version and artefacts.is_complete(copy):
                return copy
        with artefacts.placing(copy) as folder:
            try:
                self._store.download([f"{_of(number)}/{version}/{file}" for file in FILES], [folder / file for file in FILES])
            except Gone:
                raise self._damaged(number) from None
            artefacts.manifest(folder)
            (folder / VERSION).write_text(version)
        return copy

    def drop(self, number: int) -> None:
        self._store.delete(f"{_of(number)}.json")

    @contextmanager
    def claimed(self, name: str) -> Iterator[bool]:
        path, owner = f"claims/{name}.json", uuid.uuid4().hex
        if not self._is_free(name, self.read(path)):
            yield False
            return
        self.write(path, _beat(owner, 0))
        time.sleep(self.settled)
        if _owner(self.read(path)) != owner:  # another one came at the same moment
            yield False
            return
        ended = threading.Event()
        beating = threading.Thread(target=self._keep, args=(path, owner, ended), name=f"claim {name}", daemon=True)
        beating.start()
        try:
            yield True
        finally:
            ended.set()
            beating.join()
            if _owner(self.read(path)) == owner:
                self._store.delete(path)

    def _is_free(self, name: str, content: bytes | None) -> bool:
        """Whether nobody holds a claim: there is none, or it has not changed for as long as this process has looked at it."""
        if content is None:
            return True
        before, since = self._seen.get(name, (b"", 0.0))
        if before != content:
            self._seen[name] = (content, time.monotonic())
            return False
        return time.monotonic() - since > self.stale

    def _keep(self, path: str, owner: str, ended: threading.Event) -> None:
        beats = 0
        while not ended.wait(self.beat):
            beats += 1
            with suppress(StoreAway):  # it may come back before the claim is stale
                if _owner(self.read(path)) != owner:  # this process was stopped for so long that another one took over
                    return
                self.write(path, _beat(owner, beats))

    def _version(self, number: int) -> str:
        try:
            return str(json.loads(self.read(f"{_of(number)}.json") or b"")[VERSION])
        except (ValueError, KeyError, TypeError):
            raise self._damaged(number) from None

    def _damaged(self, number: int) -> StoreCorrupt:
        return StoreCorrupt(f"{_of(number)} in {self.place} is missing or damaged.", "Run the command again: it is made again.")


def _of(number: int) -> str:
    return f"shards/{shard_name(number)}"


def _beat(owner: str, count: int) -> bytes:
    return json.dumps({"owner": owner, "beat": count}).encode()


def _owner(content: bytes | None) -> str:
    try:
        return str(json.loads(content or b"")["owner"])
    except (ValueError, KeyError, TypeError):
        return ""
