"""The folder of a ranking that is under way. One that was killed goes on from it; it is deleted when all is written."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pt4al_backend import artefacts
from pt4al_backend.errors import ConfigError, TrainingImpossible
from pt4al_backend.images.frames import Shape
from pt4al_backend.jobs.folder import LOG, locked

FOLDER = "rankings"  # in the data folder
LISTING, OUTCOMES, SHAPES = "images.jsonl", "read.jsonl", "shapes.json"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an image.

    Attributes:
        frame: digest of its frame, if it was kept; frames are stored in the order in which images are.
        same: number of the image that it is identical to.
        problem: why it cannot be read.
    """

    frame: str = ""
    same: int | None = None
    problem: str = ""


class Work:
    """What a ranking has done so far: the images that it found, and what became of those that it read, in their order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.frames = folder / "pixels.u8"
        self.job = folder / "job"
        self.shards = folder / "shards"
        self._outcomes = folder / OUTCOMES
        self.outcomes = [Outcome(**each) for each in _lines(self._outcomes)]

    @property
    def begun(self) -> str:
        """When the images were found, for people."""
        return datetime.fromtimestamp((self.folder / LISTING).stat().st_mtime).strftime("%Y-%m-%d %H:%M")

    @property
    def is_begun(self) -> bool:
        """Whether it holds anything that took long."""
        return bool(self.outcomes) or any(self.shards.glob("shards/[0-9]*"))

    def listing(self) -> tuple[list[str], str] | None:
        """Names of the images and their root; None if reading has not begun, so that they are better found again."""
        if not self.outcomes:
            return None
        root, *names = _lines(self.folder / LISTING)
        return names, root

    def keep_listing(self, names: Sequence[str], root: str) -> None:
        """Keeps what was found."""
        artefacts.atomic_write(self.folder / LISTING, (json.dumps(each).encode() + b"\n" for each in (root, *names)))

    def shapes(self) -> tuple[Shape, Shape] | None:
        """Shape of the frames that networks see, and of those that are stored; None if that was not decided yet."""
        with suppress(FileNotFoundError):
            shape, stored = json.loads((self.folder / SHAPES).read_text())
            return (shape[0], shape[1]), (stored[0], stored[1])
        return None

    def keep_shapes(self, shape: Shape, stored: Shape) -> None:
        """Keeps what was decided."""
        artefacts.atomic_write(self.folder / SHAPES, json.dumps([shape, stored]).encode())

    def note(self, outcomes: Sequence[Outcome]) -> None:
        """Notes what became of the next images, whose frames are on the disk."""
        with self._outcomes.open("ab") as file:
            for each in outcomes:
                said = {name: value for name, value in asdict(each).items() if value not in ("", None)}
                file.write(json.dumps(said).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.outcomes += outcomes

    def remove(self) -> None:
        """Deletes the folder: all is done, or nothing was."""
        shutil.rmtree(self.folder)
        with suppress(OSError):  # other rankings are under way
            self.folder.parent.rmdir()


@contextmanager
def work_on(data_dir: Path, **decisive: Any) -> Iterator[Work]:
    """The work of a ranking that is decided by ``decisive``, any JSON: from the start, or where it was left.

    Raises:
        ConfigError: another process is at it.
    """
    folder = data_dir / FOLDER / fingerprint(decisive)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(folder, wait=False) as is_ours:
        if not is_ours:
            raise ConfigError("These images are being ranked by another process already.", "Wait until it ends, or end it.")
        work = Work(folder)
        try:
            yield work
        except BaseException:
            if folder.exists() and not work.is_begun:
                work.remove()
            raise


def fingerprint(decisive: Mapping[str, Any]) -> str:
    """Tells one ranking from another by what decides it, any JSON."""
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]


def goes_on(begun: str, done: int, images: int, place: str) -> str:
    """The sentence about a ranking that is resumed."""
    return (
        f"The ranking that began on {begun} goes on: {done:,} of {images:,} images are read. Images that came later are not in "
        f"it. To start over, delete {place}."
    )


@contextmanager
def quoted_log(folder: Path) -> Iterator[None]:
    """Lets an error quote the log that it names, as the folder of a job may be gone when it is read."""
    try:
        yield
    except TrainingImpossible as error:
        log = folder / LOG
        if str(log) not in error.remedy:
            raise
        tail = " ".join(log.read_text(errors="replace").split())[-1500:]
        raise TrainingImpossible(error.message, f"Its log ends: {tail}") from error


def _lines(path: Path) -> list[Any]:
    """What a file holds, one JSON a line; a line that was not finished when its writer was killed is cut off."""
    if not path.exists():
        return []
    with path.open("r+b") as file:
        found, whole = [], 0
        for line in file:
            if line.endswith(b"\n"):
                found.append(json.loads(line))
                whole += len(line)
        if file.tell() > whole:  # a whole file keeps the time at which it was written
            file.truncate(whole)
    return found
