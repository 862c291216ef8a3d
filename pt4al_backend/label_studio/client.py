"""The calls to Label Studio's HTTP API that the backend makes; each was checked against Label Studio 1.23.2.

>>> studio = LabelStudio("http://localhost:8080", token)
>>> for page in studio.task_pages(project_id):
...     print([task["id"] for task in page])
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.aliases import Json
from pt4al_backend.label_studio.http import Connection, NotFound

__all__ = ["LabelStudio", "NotFound"]


#: Tasks of a page. On SQLite, Label Studio 1.23.2 answers HTTP 500 ("Expression tree is too large") to a page of more than
#: 998 uploaded files, as it looks each of them up with one more OR, also where no more than ids are asked for.
PAGE_SIZE = 900

#: Tasks of the first page, and bytes of tasks' data that a later one may hold: some projects write whole images into their tasks.
FIRST_PAGE, PAGE_BYTES = 25, 16_000_000

#: Tasks that one request names: 6 kB of address at the longest ids, and behind nginx Label Studio refuses more than 8 kB.
NAMED_AT_ONCE = 250

#: Fields of tasks, and of the annotations in them: Label Studio applies one list to both.
TASK_FIELDS = ("id", "data", "updated_at", "is_labeled", "annotations")
ANNOTATION_FIELDS = ("was_cancelled", "ground_truth", "parent_prediction", "completed_by", "created_at")
RESULT = "result"  # a field of annotations that may be a thousand times longer than the others
WHOLE = (*TASK_FIELDS, *ANNOTATION_FIELDS, RESULT)

#: Seconds to connect, and to wait for what costs more the larger the project is: importing predictions recounts every
#: task of it (36 s at 50,000), deleting a version of 50,000 predictions took 177 s.
SLOW = (3.05, 1800.0)


class LabelStudio(Connection):
    """One Label Studio server, as one user; every method raises what `Connection.request` raises."""

    _data_bytes: float | None = None  # of a task on average, as seen in the last page

    def version(self) -> str:
        """Label Studio's release, such as "1.23.2"; needs no valid token."""
        return str(self.request("GET", "/api/version")["release"])

    def whoami(self) -> Json:
        """The user that the token belongs to: id, email, ..."""
        return dict(self.request("GET", "/api/current-user/whoami"))

    def project(self, project_id: int) -> Json:
        """Settings and counts of a project, among them label_config, model_version, sampling and task_number."""
        return dict(self.request("GET", f"/api/projects/{project_id}/"))

    def update_project(self, project_id: int, **fields: Any) -> Json:
        """Changes settings of a project. A model_version that no prediction has is refused (HTTP 400)."""
        return dict(self.request("PATCH", f"/api/projects/{project_id}/", json=fields))

    def task_pages(
        self, project_id: int, *, updated_since: str | None = None, page_size: int = PAGE_SIZE
    ) -> Iterator[list[Json]]:
        """Tasks of a project by ascending id, with the fields of `TASK_FIELDS` and `ANNOTATION_FIELDS`, and `RESULT`.

        Each page asks for the ids after the last one, so that tasks which come or go meanwhile shift none out of sight.

        Args:
            updated_since: only tasks whose ``updated_at`` is this or later. Label Studio moves it on every change of the
                task's data and of its annotations: made, changed, skipped, deleted, one by one or in bulk.
        """
        any_of = [_filter("updated_at", "greater_or_equal", "Datetime", _instant(updated_since))] if updated_since else []
        yield from self._pages(project_id, any_of, WHOLE, page_size)

    def named_pages(self, project_id: int, ids: Sequence[int], page_size: int = PAGE_SIZE) -> Iterator[list[Json]]:
        """The same of the tasks with these ids, however many they are; ids that no task has (any more) are passed over."""
        step = self._fitting(min(page_size, NAMED_AT_ONCE))
        for start in range(0, len(ids), step):
            yield from self._pages(project_id, [], WHOLE, page_size, named=ids[start : start + step])

    def answered_pages(self, project_id: int) -> Iterator[list[Json]]:
        """The same of tasks with an annotation, without `RESULT`; skips are annotations as well."""
        any_of = [_filter(count, "greater", "Number", 0) for count in ("total_annotations", "cancelled_annotations")]
        for page in self._pages(project_id, any_of, (*TASK_FIELDS, *ANNOTATION_FIELDS), PAGE_SIZE):
            yield [task for task in page if task["annotations"]]

    def task_data(self, project_id: int, task_id: int) -> Json:
        """The data of a task; empty if there is none of that id. Unlike the route for one task it makes no backend predict."""
        for page in self._pages(project_id, [], ("id", "data"), 1, named=[task_id]):
            return dict(page[0].get("data") or {})
        return {}

    def task_ids(self, project_id: int) -> NDArray[np.int64]:
        """Ids of all tasks of a project, ascending."""
        pages = [np.array([task["id"] for task in page], np.int64) for page in self._pages(project_id, [], ("id",), PAGE_SIZE)]
        return np.concatenate([np.empty(0, np.int64), *pages])

    def _pages(
        self, project_id: int, any_of: Sequence[Json], fields: Sequence[str], page_size: int, *, named: Sequence[int] = ()
    ) -> Iterator[list[Json]]:
        is_light = "data" not in fields
        only = {"selectedItems": {"all": False, "included": list(named)}} if named else {}
        last = 0
        while True:
            size = page_size if is_light else self._fitting(page_size, None if named else FIRST_PAGE)
            after = _filter("id", "greater", "Number", last)
            # Filters are joined by "and" or by "or", never both; but each may hold one more, and both must then be met.
            items = [{**condition, "child_filter": after} for condition in any_of] or [after]
            params = {
                "project": project_id,
                "page_size": size,
                "fields": "all" if {"annotations", "predictions"} & set(fields) else "task_only",
                "include": ",".join(fields),
                "resolve_uri": "false",
                "query": json.dumps(
                    {"filters": {"conjunction": "or", "items": items}, "ordering": ["tasks:id"], **only}, separators=(",", ":")
                ),
            }
            page: list[Json] = self.request("GET", "/api/tasks", params=params)["tasks"]
            if page:
                yield page
                last = page[-1]["id"]
            if not is_light and page:
                self._data_bytes = sum(map(_data_bytes, page)) / len(page)
            if len(page) < size or len(page) == len(named):
                return

    def _fitting(self, page_size: int, unknown: int | None = None) -> int:
        """How many tasks fit on a page before their data is too long; at most ``unknown`` before any data was seen."""
        if self._data_bytes is None:
            return min(page_size, unknown or page_size)
        return max(1, min(page_size, int(PAGE_BYTES / max(self._data_bytes, 1))))

    def import_tasks(self, project_id: int, tasks: Sequence[Json]) -> None:
        """Adds tasks such as ``{"data": {"image": "https://…"}}`` to a project, all of them or none.

        Raises:
            Unreachable: whether they were added is unknown.
        """
        if tasks:
            self.request("POST", f"/api/projects/{project_id}/import", json=list(tasks), timeout=SLOW)

    def import_predictions(self, project_id: int, predictions: Sequence[Json]) -> int:
        """Stores predictions in one request, beside those that their tasks have already.

        Returns:
            How many Label Studio created. It drops what it finds invalid without a word: compare with ``len(predictions)``.

        Raises:
            LabelStudioError: a task does not exist (any more); nothing was created.
        """
        if not predictions:
            return 0
        path = f"/api/projects/{project_id}/import/predictions"
        return int(self.request("POST", path, json=list(predictions), timeout=SLOW)["created"])

    def results_of(self, project_id: int, model_version: str, task_ids: Sequence[int]) -> dict[int, list[Json]]:
        """What the newest prediction of a model version shows, by task id; tasks without one are left out."""
        found: dict[int, list[Json]] = {}
        for start in range(0, len(task_ids), NAMED_AT_ONCE):
            named = task_ids[start : start + NAMED_AT_ONCE]
            for page in self._pages(project_id, [], ("id", "predictions"), PAGE_SIZE, named=named):
                for task in page:
                    of_version = [each for each in task["predictions"] if each.get("model_version") == model_version]
                    if of_version:
                        found[int(task["id"])] = list(max(of_version, key=lambda each: int(each["id"]))["result"])
        return found

    def prediction(self, prediction_id: int) -> Json:
        """One prediction: task, result, score, model_version, ..."""
        return dict(self.request("GET", f"/api/predictions/{prediction_id}/"))

    def model_versions(self, project_id: int) -> dict[str, int]:
        """Number of predictions of each model version; the version that the project serves is listed even without any."""
        versions = self.request("GET", f"/api/projects/{project_id}/model-versions/")
        return {str(version): int(count) for version, count in versions.items()}

    def delete_model_version(self, project_id: int, model_version: str) -> None:
        """Deletes the predictions of a version; deleting the one that the project serves leaves it without a queue."""
        path = f"/api/projects/{project_id}/model-versions/"
        self.request("DELETE", path, json={"model_version": model_version}, timeout=SLOW)

    def ml_backends(self, project_id: int) -> list[Json]:
        """Backends connected to a project; Label Studio calls /health and /setup of each before it answers."""
        return list(self.request("GET", "/api/ml/", params={"project": project_id}))

    def update_ml_backend(self, backend_id: int, **fields: Any) -> Json:
        """Changes a connection. Label Studio calls its /health and /setup with what it shall become, and refuses if they do.

        Its address and project must be among the fields, and with basic auth the user and a password, "" for the one that it has.
        """
        return dict(self.request("PATCH", f"/api/ml/{backend_id}", json=fields))

    def webhooks(self, project_id: int) -> list[Json]:
        """Webhooks of a project."""
        return list(self.request("GET", "/api/webhooks/", params={"project": project_id}))

    def update_webhook(self, webhook_id: int, **fields: Any) -> Json:
        """Changes a webhook."""
        return dict(self.request("PATCH", f"/api/webhooks/{webhook_id}/", json=fields))

    def views(self, project_id: int) -> list[Json]:
        """Tabs of a project's Data Manager: id, data, ..."""
        return list(self.request("GET", "/api/dm/views/", params={"project": project_id}))

    def columns(self, project_id: int) -> list[Json]:
        """Columns that the Data Manager has for a project's tasks: id, visibility_defaults, ..."""
        return list(self.request("GET", "/api/dm/columns", params={"project": project_id})["columns"])

    def create_view(self, project_id: int, title: str, **data: Any) -> Json:
        """Adds a tab to a project's Data Manager, unless one of this title is there.

        Args:
            data: what else the tab holds: ordering, filters, hiddenColumns, ...
        """
        for view in self.views(project_id):
            if view["data"].get("title") == title:
                return view
        body = {"project": project_id, "data": {"title": title, **data}}
        return dict(self.request("POST", "/api/dm/views/", json=body))

    def update_view(self, project_id: int, view_id: int, title: str, **data: Any) -> Json:
        """Gives a tab another content."""
        body = {"project": project_id, "data": {"title": title, **data}}
        return dict(self.request("PATCH", f"/api/dm/views/{view_id}/", json=body))


def _filter(column: str, operator: str, kind: str, value: str | int) -> Json:
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}


def _data_bytes(task: Json) -> int:
    data = task.get("data")
    return sum(len(value) for value in data.values() if isinstance(value, str)) if isinstance(data, dict) else 0


def _instant(stamp: str) -> str:
    """Label Studio's filters want the six decimals that its answers leave out when they are zero."""
    return stamp if "." in stamp else stamp.removesuffix("Z") + ".000000Z"
