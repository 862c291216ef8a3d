"""The work folder: the plan, the names of each shard's images, claims, and the shards that are done.

It is a folder of this host, or of a disk that several hosts share; ``bucket.BucketFolder`` is the same in an object store.
"""

import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from pt4al_backend import artefacts
from pt4al_backend.aliases import Json
from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.jobs.shards.plan import Plan
from pt4al_backend.jobs.shards.shard import Shard
from pt4al_backend.locks import held

PLAN = "plan.json"


class WorkFolder(ABC):
    """What all that work at a listing share.

    Attributes:
        place: what people call it.
        shards: the folder of this host that shards lie in: all of them, or copies of some.
        seconds: between two looks at what others do.
    """

    place: str
    shards: Path
    seconds: float

    def plan(self) -> Plan | None:
        """What is to be done; None if nobody has planned it yet.

        Raises:
            StoreCorrupt: the plan is damaged, or of another version.
        """
        text = self.read(PLAN)
        if text is None:
            return None
        try:
            return Plan.model_validate_json(text)
        except ValidationError:
            raise StoreCorrupt(f"{PLAN} in {self.place} is damaged, or of another version.", f"Delete {self.place}.") from None

    def begin(self, plan: Plan, names: Sequence[str], versions: Mapping[str, str]) -> None:
        """Keeps the names of the images and their versions, and then the plan."""
        for shard in range(plan.shards):
            cut = plan.cut(names, shard)
            self.write(_names(shard), json.dumps([[name, versions.get(name, "")] for name in cut]).encode())
        self.write(PLAN, plan.model_dump_json().encode())

    def images(self, shard: int) -> list[tuple[str, str]]:
        """Names of a shard's images, and their versions when they were listed (see ``images.sources``)."""
        text = self.read(_names(shard))
        if text is None:
            raise StoreCorrupt(f"{_names(shard)} in {self.place} is missing.", f"Delete {self.place}.")
        return [(str(name), str(version)) for name, version in json.loads(text)]

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """A small file; None if it is not there."""

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Writes a small file, which is there as a whole or not at all."""

    def here(self) -> set[int]:
        """The shards that lie on this host, sound or not."""
        return {int(path.parent.name) for path in self.shards.glob(f"[0-9]*/{artefacts.MANIFEST}")}

    @abstractmethod
    def done(self) -> set[int]:
        """The shards that are there, sound or not."""

    @abstractmethod
    def put(self, number: int, shard: Shard, manifest: Json) -> None:
        """Writes a shard, which is there as a whole or not at all; one that is there is replaced."""

    @abstractmethod
    def get(self, number: int) -> Path:
        """The folder of a shard on this host, whose files were checked.

        Raises:
            StoreCorrupt: it is missing or not what was written.
        """

    @abstractmethod
    def drop(self, number: int) -> None:
        """Deletes a shard, so that it is done again."""

    @abstractmethod
    def claimed(self, name: str) -> AbstractContextManager[bool]:
        """Claims something for as long as this process lives and is inside; False if another one has it."""


class LocalFolder(WorkFolder):
    """On a disk: a claim is a lock on a file, which the kernel frees when its holder ends, on whichever host it is."""

    seconds = 0.5

    def __init__(self, folder: Path) -> None:
        self.place, self.shards = str(folder), folder / "shards"
        self._folder = folder
        for each in ("names", "shards", "claims"):
            (folder / each).mkdir(parents=True, exist_ok=True)

    def read(self, name: str) -> bytes | None:
        with suppress(FileNotFoundError):
            return (self._folder / name).read_bytes()
        return None

    def write(self, name: str, data: bytes) -> None:
        artefacts.atomic_write(self._folder / name, data)

    def done(self) -> set[int]:
        return self.here()

    def put(self, number: int, shard: Shard, manifest: Json) -> None:
        with artefacts.writing(self._shard(number), **manifest) as folder:
            shard.write(folder)

    def get(self, number: int) -> Path:
        artefacts.manifest(self._shard(number))
        return self._shard(number)

    def drop(self, number: int) -> None:
        shutil.rmtree(self._shard(number), ignore_errors=True)

    @contextmanager
    def claimed(self, name: str) -> Iterator[bool]:
        with (self._folder / "claims" / name).open("w") as file, held(file, wait=False) as is_ours:
            yield is_ours

    def _shard(self, number: int) -> Path:
        return self.shards / shard_name(number)


def shard_name(number: int) -> str:
    """What a shard is called."""
    return f"{number:06}"


def _names(shard: int) -> str:
    return f"names/{shard_name(shard)}.json"
