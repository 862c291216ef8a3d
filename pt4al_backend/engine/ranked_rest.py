"""The ranked rest: images that ``pt4al rank --take`` ranked behind those that it took, as a file.

One JSON a line: what all have in common, then an image in each line, best first. It holds no address that ends and no secret.
"""

import filecmp
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pt4al_backend import artefacts
from pt4al_backend.aliases import Json
from pt4al_backend.errors import ConfigError
from pt4al_backend.images.frames import Shape
from pt4al_backend.images.sources import Source

#: Bytes that are copied at a time.
COPIED = 1 << 20


class Heading(BaseModel):
    """What the images of a ranked rest have in common.

    Attributes:
        root: of their names, and ``prefix`` of their addresses (see ``images.sources``).
        presign: seconds that their addresses are valid for; None: for good.
        task: the main task that the frames were made for, of the shape ``stored``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["pt4al ranked rest"] = "pt4al ranked rest"
    version: Literal[1] = 1
    root: str
    prefix: str | None
    presign: int | None
    task: str
    stored: Shape

    def address(self, source: Source, name: str) -> str:
        """What a task's image field holds now."""
        return source.presigned(name, self.presign) if self.presign else source.address(name, self.prefix)


@dataclass(frozen=True)
class Entry:
    """One image: its name, the digest of its frame, and what its task's data holds beside the address."""

    name: str
    frame: str
    data: Json

    @classmethod
    def of(cls, line: bytes) -> "Entry":
        """Reads a line.

        Raises:
            ConfigError: it is none that ``write`` wrote.
        """
        try:
            found = json.loads(line)
            return cls(str(found["name"]), str(found["frame"]), dict(found["data"]))
        except (ValueError, KeyError, TypeError):
            raise ConfigError(
                "The ranked rest is damaged, or was changed by hand.", "Give it again by --rest, as `pt4al rank --take` wrote it."
            ) from None


def write(path: Path, heading: Heading, entries: Iterable[Entry]) -> None:
    """Writes a ranked rest; a file of that name is replaced once all is written."""

    def lines() -> Iterator[bytes]:
        yield heading.model_dump_json().encode() + b"\n"
        for each in entries:
            yield json.dumps({"name": each.name, "frame": each.frame, "data": each.data}).encode() + b"\n"

    artefacts.atomic_write(path, lines())


def heading_of(path: Path) -> Heading:
    """What the images of a file have in common.

    Raises:
        ConfigError: it is no ranked rest, or cannot be read.
    """
    remedy = "Name the file that `pt4al rank … --take N --out tasks.json` wrote beside tasks.json: tasks.rest.jsonl."
    try:
        with path.open("rb") as file:
            return Heading.model_validate_json(file.readline(1_000_000))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}).", remedy) from error
    except ValidationError:
        raise ConfigError(f"{path} is no ranked rest that this version reads.", remedy) from None


class Rest:
    """The ranked rest that a project was given, in a folder of its own, and how far it was taken."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "images.jsonl"
        self._place = folder / "taken.json"

    def give(self, path: Path) -> None:
        """Takes a copy of a file that ``write`` wrote; another one that was given before is replaced.

        The same file once more changes nothing: what was taken of it stays taken.

        Raises:
            ConfigError: it is none.
        """
        heading_of(path)
        if self.is_given and filecmp.cmp(path, self._file, shallow=False):
            return
        with path.open("rb") as file:
            begins, images = len(file.readline()), sum(1 for _ in file)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._place.unlink(missing_ok=True)
        with path.open("rb") as file:
            artefacts.atomic_write(self._file, iter(lambda: file.read(COPIED), b""))
        self._note(begins, images)

    @property
    def is_given(self) -> bool:
        """Whether the project has one, used up or not."""
        return self._place.exists()

    @property
    def left(self) -> int:
        """How many images were not taken yet; 0 where no rest was given."""
        return self._taken()[1]

    def heading(self) -> Heading:
        """What its images have in common.

        Raises:
            ConfigError: the project has no ranked rest.
        """
        if not self.is_given:
            raise ConfigError(
                "The project has no ranked rest.",
                "Give it one by --rest: the file tasks.rest.jsonl that `pt4al rank … --take N --out tasks.json` wrote.",
            )
        return heading_of(self._file)

    def next(self, count: int) -> list[Entry]:
        """The best images that were not taken yet, at most so many.

        Raises:
            ConfigError: the file is damaged.
        """
        with self._file.open("rb") as file:
            file.seek(self._taken()[0])
            return [Entry.of(line) for line in islice(file, count)]

    def take(self, count: int) -> None:
        """Notes that the best ``count`` were taken, whatever became of them."""
        place, left = self._taken()
        with self._file.open("rb") as file:
            file.seek(place)
            place += sum(map(len, islice(file, count)))
        self._note(place, left - count)

    def _taken(self) -> tuple[int, int]:
        """The byte at which the first image stands that was not taken, and how many there are from it on."""
        try:
            place, left = json.loads(self._place.read_text())
        except FileNotFoundError:
            return 0, 0
        return int(place), int(left)

    def _note(self, place: int, left: int) -> None:
        artefacts.atomic_write(self._place, json.dumps([place, left]).encode())
