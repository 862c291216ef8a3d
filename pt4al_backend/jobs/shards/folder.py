"""The work folder: the plan, the names of each shard's images, claims, and the shards that are done.

Should two commands plan at once, the plan that is written last counts. Names lie below what tells their listing from others, and
a shard says which plan it is of, so that those of two are never mixed.

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
            self.write(_names(plan, shard), json.dumps([[name, versions.get(name, "")] for name in cut]).encode())
        self.write(PLAN, plan.model_dump_json().encode())

    def require(self, plan: Plan) -> None:
        """Refuses to go on by a plan that was replaced, as by a command that starts over while a worker of the last one runs.

        Raises:
            StoreCorrupt: it was.
        """
        found = self.plan()
        if found is None or found.id != plan.id:
            raise StoreCorrupt(f"The ranking in {self.place} was started over by another command.", "Run the command again.")

    def images(self, plan: Plan, shard: int) -> list[tuple[str, str]]:
        """Names of a shard's images, and their versions when they were listed (see ``images.sources``)."""
        text = self.read(_names(plan, shard))
        if text is None:
            raise StoreCorrupt(f"{_names(plan, shard)} in {self.place} is missing.", f"Delete {self.place}.")
        return [(str(name), str(version)) for name, version in json.loads(text)]

    def done(self, plan: Plan) -> set[int]:
        """The shards that are there, sound or not."""
        return self._there().intersection(range(plan.shards))

    def here(self, plan: Plan) -> set[int]:
        """Those of them that lie on this host."""
        return self._on_this_host().intersection(range(plan.shards))

    def get(self, plan: Plan, number: int) -> Path:
        """The folder of a shard on this host, whose files were checked.

        Raises:
            StoreCorrupt: it is missing, not what was written, or another plan's.
        """
        folder = self._checked(number)
        if artefacts.manifest(folder, check=False).get("plan") != plan.id:
            raise StoreCorrupt(f"The shard {shard_name(number)} in {self.place} is of another ranking.", "Run the command again.")
        return folder

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """A small file; None if it is not there."""

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Writes a small file, which is there as a whole or not at all."""

    def _on_this_host(self) -> set[int]:
        return {int(path.parent.name) for path in self.shards.glob(f"[0-9]*/{artefacts.MANIFEST}")}

    @abstractmethod
    def _there(self) -> set[int]:
        """The shards that are there, of whichever plan."""

    @abstractmethod
    def put(self, plan: Plan, number: int, shard: Shard) -> None:
        """Writes a shard, which is there as a whole or not at all; one that is there is replaced."""

    @abstractmethod
    def _checked(self, number: int) -> Path:
        """As ``get``, of whichever plan."""

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
        for each in ("shards", "claims"):
            (folder / each).mkdir(parents=True, exist_ok=True)

    def read(self, name: str) -> bytes | None:
        with suppress(FileNotFoundError):
            return (self._folder / name).read_bytes()
        return None

    def write(self, name: str, data: bytes) -> None:
        (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
        artefacts.atomic_write(self._folder / name, data)

    def _there(self) -> set[int]:
        return self._on_this_host()

    def put(self, plan: Plan, number: int, shard: Shard) -> None:
        with artefacts.writing(self._shard(number), **manifest_of(plan, number)) as folder:
            shard.write(folder)

    def _checked(self, number: int) -> Path:
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


def manifest_of(plan: Plan, number: int) -> Json:
    """What the manifest of a shard says: which images of the plan's order it is about, and what saw them."""
    first = number * plan.size
    facts = {"encoder": plan.encoder, "sha256": plan.sha256, "task": plan.task, "shape": plan.shape, "stored": plan.stored}
    return {"kind": "shard", "plan": plan.id, "first": first, "end": first + plan.count(number), **facts}


def _names(plan: Plan, shard: int) -> str:
    return f"names/{plan.listing}/{shard_name(shard)}.json"
