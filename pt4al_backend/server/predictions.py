"""Answers to /predict: what was published for a task, or what the last good model says of one that nobody asked for.

A control pick is never answered, in whichever round it was drawn: an answer in sight would bias what it measures.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from pt4al_backend.config import ServerSettings, project_settings
from pt4al_backend.engine.labelling import label_reader_for
from pt4al_backend.errors import LabelConfigUnsupported
from pt4al_backend.label_studio.annotations import LabelReader
from pt4al_backend.label_studio.label_config import parse
from pt4al_backend.server.live_model import LiveModel, Prediction
from pt4al_backend.state.schema import Pick, Project
from pt4al_backend.state.store import Store

Json = dict[str, Any]

#: Score of a task outside the queue. Label Studio serves the lowest first, so a stored answer never jumps the queue.
LAST = 1.0


class Predictions:
    """Predictions for tasks of any project. Safe to share between threads."""

    def __init__(self, settings: ServerSettings, store: Store, live: LiveModel | None = None) -> None:
        self._settings = settings
        self._store = store
        self._live = live or LiveModel(settings)

    def of(self, project: Project, tasks: Sequence[Mapping[str, Any]], deadline: float) -> list[Json]:
        """One prediction for each task, in their order; those that ``deadline`` overtakes are empty."""
        ids = [_id(task) for task in tasks]
        picks = self._store.picks_of(project.id, project.round, [i for i in ids if i]) if project.round else {}
        shown = self._shown(project, tasks, picks, deadline)
        return [
            {
                "result": shown.get(i, []),
                "score": picks[i].score if i in picks else LAST,
                "model_version": project.served_version or "",
            }
            for i in ids
        ]

    def _shown(
        self, project: Project, tasks: Sequence[Mapping[str, Any]], picks: Mapping[int, Pick], deadline: float
    ) -> dict[int, list[Json]]:
        """Regions to show, by task id; a task that shows nothing is left out."""
        labelling = self._labelling(project)
        if labelling is None or not project_settings(project.params).show_predictions:
            return {}
        hidden = set(self._store.control_ids(project.id).tolist())
        open_tasks = [task for task in tasks if _id(task) and task["id"] not in hidden]
        sizes = self._store.sizes(project.id, [task["id"] for task in open_tasks])
        said = {
            task["id"]: Prediction(pick.label, pick.confidence, sizes.get(task["id"]))
            for task in open_tasks
            if (pick := picks.get(task["id"])) is not None and pick.label
        }
        if project.model:
            unseen = [task for task in open_tasks if task["id"] not in said]
            said |= self._live.answers(project, labelling, unseen, deadline)
        shown: dict[int, list[Json]] = {}
        for i, seen in said.items():
            if time.monotonic() < deadline or not shown:  # a drawing of a large image takes its time
                shown[i] = labelling.regions(seen.said, seen.confidence, seen.size)
        return shown

    def _labelling(self, project: Project) -> LabelReader | None:
        try:
            return label_reader_for(self._settings, project, parse(project.label_config or ""))
        except LabelConfigUnsupported:
            return None  # it was changed in Label Studio meanwhile; the engine reports it


def _id(task: Mapping[str, Any]) -> int:
    """The task's id; 0, which no task has, if another host let something else through."""
    found = task.get("id")
    return found if isinstance(found, int) else 0
