"""Answers to /predict: what was published for a task, or the served model's answer for one outside the query.

A control pick is never answered, in whichever round it was drawn: an answer in sight would bias what it measures.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import TypedDict  # Python 3.11's own is not one that pydantic reads

from pt4al_backend.config import ServerSettings, project_settings
from pt4al_backend.engine.access import label_reader_for
from pt4al_backend.engine.labeling_config import in_force
from pt4al_backend.errors import LabelConfigUnsupported
from pt4al_backend.label_studio.annotations import LabelReader
from pt4al_backend.server.live_model import LiveModel, Prediction
from pt4al_backend.server.requests import Task
from pt4al_backend.state.schema import Pick, Project
from pt4al_backend.state.store import Store

#: A region of Label Studio's editor; `LabelReader.regions` makes them.
Region = dict[str, Any]

#: Score of a task outside the queue. Label Studio serves the lowest first, so a stored answer never jumps the queue.
LAST = 1.0


class TaskPrediction(TypedDict):
    """What Label Studio stores for a task: regions, the key that its queue is sorted by, and the version served."""

    result: list[Region]
    score: float
    model_version: str


class Predictions:
    """Predictions for tasks of any project. Safe to share between threads."""

    def __init__(self, settings: ServerSettings, store: Store, live: LiveModel | None = None) -> None:
        self._settings = settings
        self._store = store
        self._live = live or LiveModel(settings)

    def of(self, project: Project, tasks: Sequence[Task], deadline: float) -> list[TaskPrediction]:
        """One prediction for each task, in their order; those that ``deadline`` overtakes have no regions."""
        picks = self._store.picks_of(project.id, project.round, [task.id for task in tasks]) if project.round else {}
        shown = self._shown(project, tasks, picks, deadline)
        return [
            TaskPrediction(
                result=shown.get(task.id, []),
                score=picks[task.id].score if task.id in picks else LAST,
                model_version=project.served_version or "",
            )
            for task in tasks
        ]

    def _shown(
        self, project: Project, tasks: Sequence[Task], picks: Mapping[int, Pick], deadline: float
    ) -> dict[int, list[Region]]:
        """Regions to show, by task id; a task that shows nothing is left out."""
        reader = self._reader(project)
        if reader is None or not project_settings(project.params).show_predictions:
            return {}
        hidden = self._store.controls_among(project.id, [task.id for task in tasks])
        open_tasks = [task for task in tasks if task.id not in hidden]
        found = self._published(project, open_tasks, picks)
        if project.model:
            rest = [task for task in open_tasks if task.id not in found]
            found |= self._live.predict(project, reader, rest, deadline)
        shown: dict[int, list[Region]] = {}
        for task_id, prediction in found.items():
            if time.monotonic() < deadline or not shown:  # a drawing of a large image takes its time
                shown[task_id] = reader.regions(prediction.answer, prediction.confidence, prediction.size)
        return shown

    def _published(self, project: Project, tasks: Sequence[Task], picks: Mapping[int, Pick]) -> dict[int, Prediction]:
        """The answers of the round's model for its picks, by task id."""
        sizes = self._store.sizes(project.id, [task.id for task in tasks])
        mine = ((task.id, picks.get(task.id)) for task in tasks)
        return {i: Prediction(pick.label, pick.confidence, sizes.get(i)) for i, pick in mine if pick is not None and pick.label}

    def _reader(self, project: Project) -> LabelReader | None:
        try:
            waiting = project.notices and project.notices.get("config")  # the editor may not know what a prediction would show
            return None if waiting else label_reader_for(self._settings, project, in_force(project))
        except LabelConfigUnsupported:
            return None  # it was changed in Label Studio meanwhile; the engine reports it
