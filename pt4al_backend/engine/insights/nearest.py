"""The nearest labelled image of each pick of the open round: what the model knows that is most like it.

Found after a query is published, in the background, and again when the labels have grown by a fifth.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.aliases import Ids
from pt4al_backend.analysis.nearest_labelled import nearest
from pt4al_backend.engine import staleness
from pt4al_backend.engine.insights.facts import InsightFacts
from pt4al_backend.engine.snapshot import NOT_YET, PoolFeatures, Snapshot
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.state.schema import AnswerKind
from pt4al_backend.threads import one_thread

log = logging.getLogger(__name__)

FOLDER = "nearest"
ARRAY = "nearest.npy"
#: Of what is computed: older artefacts are made again.
VERSION = "1"
#: Share by which labels grow before neighbours are looked for again.
GROWTH = 0.2
#: Images of the pool that its mean is taken from, picks that are compared at a time, and labelled images that are read at a time.
MEAN_OF, ASKED, BLOCK = 4_000, 4_096, 1_024

NO_LABELS = "No image was labelled yet when this was computed."

_ROW = np.dtype([("task", np.int64), ("neighbour", np.int64), ("cosine", np.float32)])


class Facts(InsightFacts):
    """What the array is about.

    Attributes:
        labels: labelled images that were compared.
        answered: picks of the round that were answered then.
        missing: why there are no neighbours; "" if there are.
    """

    labels: int = 0
    answered: int = 0
    missing: str = ""


@dataclass(frozen=True, eq=False)
class Nearest:
    """Picks, ascending by task, each with the labelled task that is most like it, and the cosine of their features."""

    facts: Facts
    rows: NDArray[np.void]

    @classmethod
    def load(cls, project: Path) -> "Nearest | None":
        """Opens it among a project's artefacts, without reading it; None if there is none that this version can read."""
        try:
            rows = np.load(project / FOLDER / ARRAY, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        facts = Facts.known(project / FOLDER)
        return cls(facts, rows) if facts is not None and rows.dtype == _ROW and rows.ndim == 1 else None

    def of(self, ids: Sequence[int]) -> dict[int, tuple[int, float]]:
        """The neighbour and the cosine of those of these tasks that have one."""
        found = {}
        for task, place in zip(ids, np.searchsorted(self.rows["task"], ids).tolist(), strict=True):
            if place < len(self.rows) and self.rows[place]["task"] == task:
                found[task] = (int(self.rows[place]["neighbour"]), float(self.rows[place]["cosine"]))
        return found


def refresh(snapshot: Snapshot) -> None:
    """Finds the neighbours of the open round's picks, if it has others, or if labels came since."""
    store, project = snapshot.store, snapshot.project
    if not project.round or not len(snapshot.tasks):
        return
    answered = sum(each.answered for each in store.pick_progress(project.id, project.round).values())
    key, known = _key(snapshot), Nearest.load(snapshot.folder)
    if known is not None and known.facts.key == key and answered - known.facts.answered <= GROWTH * known.facts.labels:
        return
    snapshot.require()
    picks = [pick.task_id for pick in store.picks(project.id, project.round) if pick.kind != PickKind.CONTROL]
    answers = store.answers(project.id)
    labelled = np.array(sorted(i for i, each in answers.items() if each.answer == AnswerKind.LABEL), np.int64)
    sample = snapshot.tasks.ids[np.unique(np.linspace(0, len(snapshot.tasks) - 1, MEAN_OF).astype(np.int64))]
    asked = np.array(sorted(picks), np.int64)
    with one_thread(), snapshot.features(np.concatenate([asked, labelled, sample])) as features:
        missing = NOT_YET if features is None else "" if len(labelled) else NO_LABELS
        rows = np.empty(0, _ROW)
        if features is not None and len(labelled) and len(features):
            some = np.unique(np.linspace(0, len(features) - 1, MEAN_OF).astype(np.int64))
            mean = features.read(some).mean(0, dtype=np.float64)
            rows = _found(snapshot, features, asked, labelled, mean)
    facts = Facts(key=key, labels=len(labelled), answered=answered, missing=missing)
    with facts.writing(snapshot.folder / FOLDER) as folder:
        np.save(folder / ARRAY, rows)
        snapshot.require()
    log.info("Project %s: the nearest of %s labelled images was found for %s picks.", project.id, len(labelled), len(rows))


def _key(snapshot: Snapshot) -> str:
    """Changes with the round, with its picks, and with what describes the images."""
    project, basis = snapshot.project, staleness.Basis.of(snapshot.project)
    picks = snapshot.store.pick_count(project.id, project.round)
    return staleness.key(VERSION, basis.round, project.served_version, picks, basis.describers, basis.reading)


def _found(snapshot: Snapshot, features: PoolFeatures, asked: Ids, labelled: Ids, mean: NDArray[np.float64]) -> NDArray[np.void]:
    """The rows of the picks ``asked``, as far as there are features."""
    known = np.flatnonzero(np.isin(features.ids, labelled))
    places = np.flatnonzero(np.isin(features.ids, asked))

    def blocks() -> Iterator[NDArray[np.float16]]:
        for start in range(0, len(known), BLOCK):
            snapshot.require()
            yield features.read(known[start : start + BLOCK])

    rows = np.empty(len(places), _ROW)
    for start in range(0, len(places), ASKED):
        part = places[start : start + ASKED]
        at = np.searchsorted(known, part)
        itself = np.where(np.isin(part, known), at, -1)
        nearby, cosines = nearest(features.read(part), blocks(), itself, mean)
        rows["neighbour"][start : start + ASKED] = np.where(nearby < 0, -1, features.ids[known[nearby]] if len(known) else -1)
        rows["cosine"][start : start + ASKED] = cosines
    rows["task"] = features.ids[places]
    return rows[rows["neighbour"] >= 0]
