"""What is known of the quality of a project's labels and images, as an artefact: facts in its manifest, arrays beside it."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pt4al_backend.aliases import Ids
from pt4al_backend.analysis.confusion import Pairs, pairs
from pt4al_backend.artefacts import MANIFEST
from pt4al_backend.engine.insights.facts import InsightFacts

FOLDER = "quality"
ARRAYS = "quality.npz"


class Facts(InsightFacts):
    """What the arrays are about.

    Attributes:
        pool_key: the same of the groups alone.
        at: when they were made, seconds since 1970.
        round: whose labels they are.
        task: the main task.
        names: the labels, by their numbers in the arrays: classes, or sets of classes as the state keeps them.
        suspects: how many of the judged labels are suspects; they come first.
        contradicting: how many groups hold labels that contradict each other; they come first.
        compared: images whose features were compared for near-duplicates.
        control_labels: labels of control picks that count.
        without_judgement, without_comparison, without_control: why there is none of these; "" if there is.
    """

    pool_key: str = ""
    at: float = 0.0
    round: int = 0
    task: str = ""
    names: list[str] = Field(default_factory=list)
    suspects: int = 0
    contradicting: int = 0
    compared: int = 0
    control_labels: int = 0
    without_judgement: str = ""
    without_comparison: str = ""
    without_control: str = ""


def _ints() -> NDArray[np.int64]:
    return np.empty(0, np.int64)


def _floats() -> NDArray[np.float64]:
    return np.empty(0, np.float64)


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels beside answers of models that have not seen them: task ids, and numbers of names, int64 [n] each."""

    ids: Ids = field(default_factory=_ints)
    labels: NDArray[np.int64] = field(default_factory=_ints)
    answers: NDArray[np.int64] = field(default_factory=_ints)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def pairs(self) -> Pairs:
        """How often each label meets each answer."""
        return pairs(self.labels, self.answers)


@dataclass(frozen=True, eq=False)
class Judged(Labels):
    """Cross-validated labels, the suspects first: how sure the model is of its answer, and of the label, float64 [n]."""

    confidence: NDArray[np.float64] = field(default_factory=_floats)
    self_confidence: NDArray[np.float64] = field(default_factory=_floats)


@dataclass(frozen=True, eq=False)
class Grouped:
    """Near-duplicates: tasks int64 [m], the group 0.. of each, ascending, and its cosine to the nearest, 1 if identical."""

    ids: Ids = field(default_factory=_ints)
    groups: NDArray[np.int64] = field(default_factory=_ints)
    cosines: NDArray[np.float64] = field(default_factory=_floats)

    @property
    def count(self) -> int:
        """Groups."""
        return int(self.groups[-1]) + 1 if len(self.groups) else 0

    def of(self, first: int, end: int) -> "Grouped":
        """The groups ``first`` to ``end`` - 1."""
        part = slice(*np.searchsorted(self.groups, [first, end]).tolist())
        return Grouped(self.ids[part], self.groups[part], self.cosines[part])


@dataclass(frozen=True, eq=False)
class Quality:
    """All of it."""

    facts: Facts = field(default_factory=Facts)
    judged: Judged = field(default_factory=Judged)
    control: Labels = field(default_factory=Labels)
    grouped: Grouped = field(default_factory=Grouped)
    #: How many labels, and how many of them of control picks, hold each class: int64 [C], in the order of ``classes``.
    labelled: NDArray[np.int64] = field(default_factory=_ints)
    picked: NDArray[np.int64] = field(default_factory=_ints)
    classes: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, np.str_))

    PARTS = ("judged", "control", "grouped")
    BALANCE = ("labelled", "picked", "classes")

    def save(self, project: Path, require: Callable[[], None]) -> None:
        """Writes it among a project's artefacts, in place of an older one, unless ``require`` raises at the last moment."""
        arrays = {name: getattr(self, name) for name in self.BALANCE}
        for part in self.PARTS:
            held = getattr(self, part)
            arrays |= {f"{part}.{each.name}": getattr(held, each.name) for each in fields(held)}
        with self.facts.writing(project / FOLDER) as folder:
            np.savez(folder / ARRAYS, **arrays)
            require()

    @staticmethod
    def load(project: Path) -> "Quality | None":
        """Reads it, once as long as it stays the same; None if there is none yet, or none that this version can read."""
        folder = project / FOLDER
        try:
            return _read(folder, (folder / MANIFEST).stat().st_mtime_ns, (folder / ARRAYS).stat().st_mtime_ns)
        except (OSError, KeyError, ValueError, EOFError, BadZipFile):
            return None


@lru_cache(maxsize=2)
def _read(folder: Path, *_: int) -> Quality | None:
    facts = Facts.known(folder)
    if facts is None:
        return None
    with (folder / ARRAYS).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        held = {name: arrays[name] for name in arrays.files}
    kinds = {"judged": Judged, "control": Labels, "grouped": Grouped}
    parts = {part: made(**{f.name: held[f"{part}.{f.name}"] for f in fields(made)}) for part, made in kinds.items()}
    return Quality(facts, **parts, **{name: held[name] for name in Quality.BALANCE})
