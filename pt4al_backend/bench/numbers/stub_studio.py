"""A Label Studio that holds projects of any size without their tasks, so that what a look costs is the backend's own cost.

It hands out the tasks that somebody changed, takes predictions without keeping them, and serves what it is told to.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from pt4al_backend.aliases import Json
from pt4al_backend.bench.numbers.local_server import Handler, LocalServer, body_of, respond


@dataclass
class StubProject:
    """One project.

    Attributes:
        config: its labeling config.
        control: name of the tag that labels are given with.
        tasks: how many it has.
        changed: those that somebody made or changed lately, by id.
        served: what was set by PATCH.
        imported: how many predictions were sent.
    """

    config: str
    control: str
    tasks: int
    changed: dict[int, Json] = field(default_factory=dict)
    served: Json = field(default_factory=dict)
    imported: int = 0

    def put(self, task: int, image: str, label: str = "") -> None:
        """Somebody imports a task, or chooses a label for it."""
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        region = {"from_name": self.control, "to_name": "image", "type": "choices", "value": {"choices": [label]}}
        annotation = {"id": task, "result": [region], "updated_at": now, "created_at": now, "was_cancelled": False}
        annotations = [annotation] if label else []
        self.changed[task] = {"id": task, "data": {"image": image}, "updated_at": now, "annotations": annotations}


class StubStudio:
    """Projects by id; a context in which they can be reached at ``url``. ``image`` gives what lies at a path below /data/."""

    def __init__(self, projects: Mapping[int, StubProject], image: Callable[[str], bytes] = lambda _: b"") -> None:
        self.projects = dict(projects)
        self._image = image

    def __enter__(self) -> Self:
        self._server = LocalServer(self._answer)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.close()

    @property
    def url(self) -> str:
        """Its address."""
        return self._server.url

    def _answer(self, handler: Handler) -> None:
        address, sent = urlsplit(handler.path), body_of(handler)
        if address.path.startswith("/data/"):
            respond(handler, 200, self._image(address.path), Content_Type="image/png")
            return
        answer = self._say(handler.command, address.path, parse_qs(address.query), sent)
        respond(handler, 200, json.dumps(answer).encode(), Content_Type="application/json")

    def _say(self, method: str, path: str, query: dict[str, list[str]], sent: bytes) -> Any:
        if path == "/api/tasks":
            return {"tasks": _page(self.projects[int(query["project"][0])], query)}
        found = re.match(r"/api/projects/(\d+)/(.*)", path)
        if not found:
            return []
        project, rest = self.projects[int(found[1])], found[2]
        if rest == "import/predictions":
            count = len(json.loads(sent))
            project.imported += count
            return {"created": count}
        if rest == "model-versions/":
            return {}
        if method == "PATCH":
            project.served |= json.loads(sent)
        return {"title": "Stub", "label_config": project.config, "task_number": project.tasks, **project.served}


def _page(project: StubProject, query: dict[str, list[str]]) -> list[Json]:
    view = json.loads(query["query"][0])
    condition = view["filters"]["items"][0]
    after = condition.get("child_filter", condition)["value"]
    named = view.get("selectedItems", {}).get("included", project.changed)
    tasks = [task for number, task in sorted(project.changed.items()) if number > after and number in named]
    return tasks[: int(query["page_size"][0])]
