"""A Label Studio that holds one project of any size without its tasks, so that what a look costs is the backend's own cost.

It hands out the tasks that somebody changed, takes predictions without keeping them, and serves what it is told to.
"""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from pt4al_backend.aliases import Json
from pt4al_backend.bench.numbers.local_server import Handler, LocalServer, body_of, respond


@dataclass
class StubStudio:
    """One project; a context in which it can be reached at ``url``.

    Attributes:
        config: its labeling config.
        tasks: how many it has.
        control: name of the tag that labels are given with.
        changed: those that somebody changed lately, by id.
        served: what was set by PATCH.
        imported: predictions that were sent.
    """

    config: str
    tasks: int
    control: str
    changed: dict[int, Json] = field(default_factory=dict)
    served: Json = field(default_factory=dict)
    imported: int = 0

    def __enter__(self) -> Self:
        self._server = LocalServer(self._answer)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.close()

    @property
    def url(self) -> str:
        """Its address."""
        return self._server.url

    def label(self, task: int, name: str, image: str) -> None:
        """Somebody chooses ``name`` for a task."""
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        region = {"from_name": self.control, "to_name": "image", "type": "choices", "value": {"choices": [name]}}
        annotation = {"id": task, "result": [region], "updated_at": now, "created_at": now, "was_cancelled": False}
        self.changed[task] = {"id": task, "data": {"image": image}, "updated_at": now, "annotations": [annotation]}

    def _answer(self, handler: Handler) -> None:
        address, sent = urlsplit(handler.path), body_of(handler)
        said = self._say(handler.command, address.path, parse_qs(address.query), sent)
        respond(handler, 200, json.dumps(said).encode(), Content_Type="application/json")

    def _say(self, method: str, path: str, query: dict[str, list[str]], sent: bytes) -> Any:
        if path.endswith("/import/predictions"):
            count = len(json.loads(sent))
            self.imported += count
            return {"created": count}
        if path == "/api/tasks":
            return {"tasks": self._page(json.loads(query["query"][0]), int(query["page_size"][0]))}
        if path.endswith("/model-versions/"):
            return {}
        if re.fullmatch(r"/api/projects/\d+/", path):
            if method == "PATCH":
                self.served |= json.loads(sent)
            return {"title": "Stub", "label_config": self.config, "task_number": self.tasks, **self.served}
        return []

    def _page(self, query: Json, size: int) -> list[Json]:
        filters = query["filters"]["items"]
        after = next(each for each in (filters[0].get("child_filter"), filters[0]) if each)["value"]
        return [task for number, task in sorted(self.changed.items()) if number > after][:size]
