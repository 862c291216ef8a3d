"""What the images on the map are coloured by, in the order of their places."""

import gzip
import json
from collections.abc import Mapping
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from pt4al_backend.aliases import Ids
from pt4al_backend.engine import served_model
from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.server.services import Services
from pt4al_backend.server.words import LabelWords
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store

#: What stands for nothing in a column of numbers.
NONE = -1
#: Columns of a project's row one of which changes whenever a colour does; the open round's counts do when an answer comes.
COLOURED_BY = (
    "synced_until",
    "full_sync_at",
    "round",
    "model",
    "full_model",
    "learner",
    "served_version",
    "choices_handled",
    "next_row",
    "label_config",
    "params",
)
#: Of these, those that change with the images on the map and their batches.
PLACED_BY = ("full_sync_at", "round", "learner", "next_row")
#: Projects whose last colours are kept: a megabyte for 100,000 images.
MOST_KEPT = 4
QUEUED = (PickKind.QUERY, PickKind.PERSON, PickKind.RESERVE, PickKind.CONTROL)


class MapColours(BaseModel):
    """What is known of the images, in the order of their places. -1 stands for nothing."""

    version: str = Field(description="of the layout whose order this is")
    round: int
    names: list[str] = Field(description="labels by their numbers in the next two columns")
    label: list[int] = Field(description="the annotators'")
    predicted: list[int] = Field(description="the last model's answer, to those that it has scored; none for control picks")
    uncertainty: list[int] = Field(description="hundredths: 100 minus the posterior of that answer")
    batch: list[int] = Field(description="PT4AL's batch; 0 before the ranking")
    queue_kinds: list[str] = Field(description="why a task is in the queue, by the numbers in the next column")
    queue: list[int] = Field(description="of the open round, as far as it waits for an answer")
    control: list[int] = Field(description="1 for those that were ever a control pick")
    gone: list[int] = Field(description="positions of images whose task is deleted, or has another image now")


class Placed(NamedTuple):
    """What the layout of this version places, in the order of its places: tasks and rows of their frames, int64 [n]."""

    version: str
    tasks: Ids
    rows: NDArray[np.int64]


class _Shown(NamedTuple):
    """The images on the map, and the mark of the state that this is of.

    In the order of their places: whether their tasks are there still bool [n], and their batches int64 [n].
    """

    mark: object
    is_there: NDArray[np.bool_]
    batches: NDArray[np.int64]


class _Answered(NamedTuple):
    """Colours as they are sent: ``MapColours`` as JSON, plain and compressed; the mark of their state, and the images."""

    mark: object
    shown: _Shown
    plain: bytes
    packed: bytes


class Colours:
    """The last colours of the projects whose map was read last: the pool is read again for other images or batches alone."""

    def __init__(self, _: Store) -> None:
        self._lock = Lock()  # held while colours are read: who asks meanwhile mostly wants the same ones
        self._kept: dict[int, _Answered] = {}

    def of(self, services: Services, project: Project, placed: Placed | None) -> tuple[bytes, bytes]:
        """The colours of a project as it is now, or as it was if its mark is the same: plain and compressed."""
        if placed is None:
            nothing: dict[str, list[int]] = {name: [] for name in MapColours.model_fields}
            return _compressed({**nothing, "version": "", "round": project.round})
        with self._lock:
            shown_mark = _shown_mark(services, project, placed)
            mark = _mark(services, project), shown_mark
            kept = self._kept.pop(project.id, None)
            if kept is None or kept.mark != mark:
                same = kept.shown if kept is not None and kept.shown.mark == shown_mark else None
                shown = same or _shown(shown_mark, services, project, placed)
                kept = _Answered(mark, shown, *_compressed(_colours(services, project, placed, shown)))
            self._kept[project.id] = kept
            for oldest in list(self._kept)[:-MOST_KEPT]:
                del self._kept[oldest]
        return kept.plain, kept.packed


def _compressed(found: Mapping[str, Any]) -> tuple[bytes, bytes]:
    plain = json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode()
    return plain, gzip.compress(plain, 5)


def _mark(services: Services, project: Project) -> object:
    """Another one whenever something is coloured otherwise, as soon as who writes it is done. It costs no look at the pool."""
    columns = [getattr(project, name) for name in COLOURED_BY]
    return columns, services.store.pick_progress(project.id, project.round)


def _shown_mark(services: Services, project: Project, placed: Placed) -> object:
    """The same for tasks and batches."""
    store, columns = services.store, [getattr(project, name) for name in PLACED_BY]
    counts = store.counts(project.id)
    return placed.version, columns, counts["tasks"], counts["fetched"], store.batch_sizes(project.id)


def _shown(mark: object, services: Services, project: Project, placed: Placed) -> _Shown:
    stored = services.store.stored_tasks(project.id)
    if not len(stored.ids):
        return _Shown(mark, np.zeros(len(placed.tasks), np.bool_), np.zeros(len(placed.tasks), np.int64))
    at = _places(stored.rows, placed.rows)
    is_there = (at >= 0) & (stored.ids[at] == placed.tasks)
    return _Shown(mark, is_there, np.where(is_there, stored.batches[at], 0))


def _colours(services: Services, project: Project, placed: Placed, shown: _Shown) -> dict[str, Any]:
    """``MapColours`` as it becomes JSON."""
    store, number = services.store, project.id
    column = _Columns(placed.tasks, shown.is_there, LabelWords(project))
    waiting = store.queued(number, project.round)
    controls = store.control_ids(number)
    predicted, uncertainty = _predictions(services, project, waiting, column)
    is_control = np.isin(placed.tasks, controls)
    return {
        "version": placed.version,
        "round": project.round,
        "label": column.named(store.labels(number)),
        "predicted": np.where(is_control, NONE, predicted).tolist(),
        "uncertainty": np.where(is_control, NONE, uncertainty).tolist(),
        "names": column.names,
        "batch": shown.batches.tolist(),
        "queue_kinds": list(map(str, QUEUED)),
        "queue": column.of({each.task: QUEUED.index(each.kind) for each in waiting}).tolist(),
        "control": is_control.astype(int).tolist(),
        "gone": np.flatnonzero(~shown.is_there).tolist(),
    }


class _Columns:
    """Makes columns in the order of the places."""

    def __init__(self, tasks: Ids, is_there: NDArray[np.bool_], words: LabelWords) -> None:
        self._is_there, self._words = is_there, words
        self._order = np.argsort(tasks, kind="stable")
        self._sorted = tasks[self._order]
        self._numbers: dict[str, int] = {}

    @property
    def names(self) -> list[str]:
        """The labels by their numbers."""
        return list(self._numbers)

    def of(self, values: Mapping[int, int]) -> NDArray[np.int64]:
        """The values of tasks int64 [n], ``NONE`` for those without one."""
        column = np.full(len(self._sorted), NONE, np.int64)
        ids = np.fromiter(values, np.int64, len(values))
        at = _places(self._sorted, ids)
        column[self._order[at[at >= 0]]] = np.fromiter(values.values(), np.int64, len(values))[at >= 0]
        return np.where(self._is_there, column, NONE)

    def number(self, label: str) -> int:
        """The number of a label."""
        name = self._words.of(label)
        return NONE if name is None else self._numbers.setdefault(name, len(self._numbers))

    def named(self, labels: Mapping[int, str]) -> list[int]:
        """The numbers of the labels of tasks."""
        numbers = {label: self.number(label) for label in dict.fromkeys(labels.values())}
        return [int(number) for number in self.of({task: numbers[label] for task, label in labels.items()})]


def _places(ordered: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each of the ``wanted`` int64 [m] is among ascending numbers int64 [n]; -1 where it is not."""
    if not len(ordered):
        return np.full(len(wanted), -1, np.int64)
    at = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return np.where(ordered[at] == wanted, at, -1)


def _predictions(
    services: Services, project: Project, waiting: list[Any], column: _Columns
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the model's answers, and its uncertainty in hundredths: of what it scored last, and of the round's picks."""
    predicted: dict[int, int] = {}
    uncertainty: dict[int, int] = {}
    result = served_model.folder(services.backend.settings.data_dir, project)
    try:
        scored = served_model.all_answers(result) if result is not None else None
    except StoreCorrupt:  # the engine reports it
        scored = None
    if scored is not None:
        names, of = np.unique(scored.labels, return_inverse=True)
        numbers = np.array([column.number(str(name)) for name in names], np.int64)[of]
        predicted = dict(zip(scored.ids.tolist(), numbers.tolist(), strict=True))
        hundredths = np.rint(100 * (1 - scored.confidences)).astype(int)
        uncertainty = dict(zip(scored.ids.tolist(), hundredths.tolist(), strict=True))
    for each in waiting:
        if each.predicted and each.confidence is not None:
            predicted[each.task] = column.number(each.predicted)
            uncertainty[each.task] = round(100 * (1 - each.confidence))
    return column.of(predicted), column.of(uncertainty)
