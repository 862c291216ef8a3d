"""A project that the backend's processes drive, as a Label Studio sees it."""

from collections import Counter
from pathlib import Path
from typing import Any

from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.label_studio.client import LabelStudio
from tests.support.images import arrow, class_of, save
from tests.support.kinds import CLASSIFICATION, Kind
from tests.support.servers import LabelStudioServer

PARAMS = {"rounds": 2, "query_size": 6, "reserve_size": 6, "control_share": 0.34, "pretext_epochs": 2, "epochs": 2, "width": 8}
POLL = {"PT4AL_POLL_SECONDS": "1"}


class DrivenProject:
    """A project of arrows, and the people who answer in it."""

    def __init__(self, lead: Annotator, label_studio: LabelStudioServer, title: str, kind: Kind = CLASSIFICATION) -> None:
        self.lead = lead
        self.client = LabelStudio(label_studio.url, label_studio.token)
        self.kind = kind
        self.id = lead.create_project(title[:50], kind.label_config)
        self.given: dict[int, str] = {}

    def answer(self, count: int = 1) -> None:
        """Answers the next tasks as they are served, with each class in turn: a query of one class alone trains no model."""
        for _ in range(count):
            task = self.lead.next_task(self.id)
            assert task is not None
            label = class_of(len(self.given))
            self.lead.annotate(task["id"], self.kind.regions(label, task["id"]))
            self.given[int(task["id"])] = label

    def served(self) -> str:
        return str(self.client.project(self.id)["model_version"])

    def versions(self) -> dict[str, int]:
        """Predictions in Label Studio by version; fails if a task has two of one version."""
        found = self.client.request("GET", "/api/predictions/", params={"project": self.id})
        pairs = Counter((each["task"], each["model_version"]) for each in found)
        assert set(pairs.values()) <= {1}, "something was published twice"
        return dict(Counter(version for _, version in pairs))


def picked(status: dict[str, Any]) -> int:
    """Tasks of the open round's queue."""
    return sum(int(share["requested"]) for share in status["picks"].values())


def project_with_images(
    lead: Annotator, label_studio: LabelStudioServer, folder: Path, title: str, count: int = 24
) -> DrivenProject:
    project = DrivenProject(lead, label_studio, title)
    lead.upload_images(project.id, save(folder / "images", [arrow(number) for number in range(count)]))
    return project
