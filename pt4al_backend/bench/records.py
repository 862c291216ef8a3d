"""Finished rounds on disk: ``arms/ARM/seed-N/rounds.jsonl`` holds a line of JSON for each.

A last line without its end is a round that its process did not finish. Any other line that is not the record of a round,
that those before it contradict, or that names rows beyond the pool, is corrupt: it is left out and counted.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pt4al_backend.aliases import Json
from pt4al_backend.errors import ConfigError

ARMS, RECORDS = "arms", "rounds.jsonl"

#: The part of the seconds that a run has once; the others come with each round.
RANK = "rank"

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
#: Accuracy and mIoU are shares.
Value = Annotated[float, Field(ge=0, le=1)]


class Record(BaseModel):
    """What a report needs of one round; ``query`` holds rows of the data set, ``value`` is None if there is no model to test.
    ``balanced`` is the mean over the classes of the share that is right, of classification; older records have none.

    ``notes`` say what was not as the settings say; ``machine`` names the GPU or the processor, "" in older records.
    """

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)

    seed: int
    round: Annotated[int, Field(ge=1)]
    labels: Count
    metric: str
    value: Value | None
    balanced: Value | None = None
    total: Count
    seconds: dict[str, Seconds]
    query: Annotated[list[Count], Field(min_length=1)]
    settings: Json
    arm: Json = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    version: str
    torch: str
    device: str
    machine: str = ""


@dataclass(frozen=True)
class Found:
    """The rounds by arm, by seed and number, and how many lines of which files are corrupt."""

    arms: Mapping[str, list[Record]]
    corrupt: Mapping[Path, int]


def read(folder: Path, pool: float = math.inf) -> Found:
    """All finished rounds below the output folder of runs, on a pool of ``pool`` images at most."""
    arms: dict[str, list[Record]] = {}
    corrupt: dict[Path, int] = {}
    for path in sorted((folder / ARMS).glob(f"*/*/{RECORDS}")):
        records = [record for _, record in _parsed(path, pool)]
        if whole := [record for record in records if record is not None]:
            arms.setdefault(path.parent.parent.name, []).extend(whole)
        if missing := len(records) - len(whole):
            corrupt[path] = missing
    for rounds in arms.values():
        rounds.sort(key=lambda record: (record.seed, record.round))
    return Found(arms, corrupt)


def unbroken(path: Path, pool: float = math.inf) -> list[Json]:
    """The rounds of one file from the first on, up to the first that is missing or corrupt: what a run can resume from."""
    found: list[Json] = []
    for line, record in _parsed(path, pool):
        if record is None or record.round != len(found) + 1:
            break
        found.append(json.loads(line))
    return found


def firsts(folder: Path) -> Iterator[tuple[Path, Record]]:
    """Of each run below the folder of an arm, its file and the first of its rounds."""
    for path in sorted(folder.glob(f"*/{RECORDS}")):
        if first := next((record for _, record in _parsed(path) if record is not None), None):
            yield path, first


def comparable(record: Record, settings: Json, arm: Json) -> tuple[Json, Json]:
    """What must be equal in a record and in ``settings`` and ``arm`` of another seed: theirs, ours.

    That is all but the seed, and but settings that one of them lacks: its version had none of that name.
    """
    both = (record.settings.keys() & settings.keys()) - {"seed"}
    return {**{key: record.settings[key] for key in both}, **record.arm}, {**{key: settings[key] for key in both}, **arm}


def difference(theirs: Json, ours: Json) -> str:
    """What differs, in words; empty if nothing does."""
    differing = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    return ", ".join(f"{key} {theirs.get(key)!r} and not {ours.get(key)!r}" for key in differing)


def require_same(folder: Path, what: str, theirs: Json, ours: Json) -> None:
    """Refuses to add to a folder, or beside it, what other settings made.

    Raises:
        ConfigError: the settings of what is there differ from those that are given.
    """
    if differing := difference(theirs, ours):
        remedy = f"Name another output folder or arm, or delete {folder}."
        raise ConfigError(f"{folder} holds {what} that were run with other settings: {differing}.", remedy)


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a file that have an end, without those that are empty; none if there is no file."""
    if not path.exists():
        return
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    yield from filter(bytes.strip, whole.split(b"\n"))


def _parsed(path: Path, pool: float = math.inf) -> Iterator[tuple[bytes, Record | None]]:
    """Each line of a run, with its record unless it is corrupt by itself or beside those before it."""
    number, labels, queried = 0, 0, set[int]()
    for line in lines(path):
        record = _record(line)
        if record is None or not _belongs(record, path, pool) or not _follows(record, number, labels, queried):
            yield line, None
            continue
        number, labels = record.round, record.labels
        queried.update(record.query)
        yield line, record


def _record(line: bytes) -> Record | None:
    try:
        return Record.model_validate_json(line)
    except ValidationError:
        return None


def _belongs(record: Record, path: Path, pool: float) -> bool:
    return path.parent.name == f"seed-{record.seed}" and max(record.query) < pool


def _follows(record: Record, number: int, labels: int, queried: set[int]) -> bool:
    """Whether a round can follow round ``number`` with ``labels`` labels, up to which the rows ``queried`` were queried."""
    skipped, theirs = record.round - number - 1, record.labels - labels - len(record.query)  # rounds between, and their labels
    return (skipped == theirs == 0 or 0 < skipped <= theirs) and len(queried.union(record.query)) == len(queried) + len(
        record.query
    )
