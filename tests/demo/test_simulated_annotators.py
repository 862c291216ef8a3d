"""The demo's annotators: whose turn it is, what they answer, when they stop."""

import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pt4al_backend.datasets.folder_images import FolderImages
from pt4al_backend.demo.screen import Screen
from pt4al_backend.demo.simulated_annotators import SimulatedAnnotators
from pt4al_backend.errors import PT4ALError, Unreachable
from pt4al_backend.images.mask_files import MaskFiles
from pt4al_backend.progress import Progress
from pt4al_backend.server.outage import Trouble
from pt4al_backend.server.status import PickCount, Picks, ProjectStatus, RoundStatus
from tests.support.folders import KINDS, label_of, of_task


class Project:
    """A project as the annotators and the status API see it: the queue of each round in order, then other tasks."""

    def __init__(self, rounds: list[list[int]], controls: int) -> None:
        self._rounds = rounds
        self._controls = controls
        self._is_ranked = False
        self.answers: list[tuple[str, int, list[dict[str, Any]]]] = []

    @property
    def done(self) -> list[int]:
        return [task for _, task, _ in self.answers]

    @property
    def number(self) -> int:
        """The open round: the first that is not answered."""
        return next((i for i, requested in enumerate(self._rounds, 1) if set(requested) - set(self.done)), len(self._rounds) + 1)

    def requested(self) -> list[int]:
        requested = self._rounds[self.number - 1] if self.number <= len(self._rounds) else []
        return requested if self._is_ranked else requested[: self._controls]

    def status(self) -> ProjectStatus:
        number, requested = self.number, self.requested()
        missing = len(set(requested) - set(self.done))
        self._is_ranked = self._is_ranked or not missing  # so the pretext learner is done after the control picks
        exhausted = number > len(self._rounds)
        closed = [round_status(each, "closed") for each in range(1, number)]
        picks = Picks(
            query=PickCount(requested=max(len(requested) - self._controls, 0)),
            control=PickCount(requested=min(self._controls, len(requested))),
            reserve=PickCount(),
        )
        return ProjectStatus.model_construct(
            round=number,
            phase="exhausted" if exhausted else "labelling" if self._is_ranked else "pretext",
            progress=Progress(),
            eta_seconds=None,
            labels_in=len(requested) - missing,
            labels_missing=missing,
            picks=picks,
            model_version="v1",
            history=[*closed, round_status(number, "open" if self._is_ranked and missing else "starting")],
            error=None,
        )


def round_status(number: int, state: str) -> RoundStatus:
    return RoundStatus.model_construct(number=number, state=state)


class Person:
    """One annotator; a stand-in for a browser session at Label Studio."""

    def __init__(self, project: Project, name: str) -> None:
        self._project = project
        self._name = name

    def next_task(self, project_id: int) -> dict[str, Any] | None:
        left = [task for task in self._project.requested() if task not in self._project.done]
        return {"id": left[0] if left else 999}  # the reserve

    def annotate(self, task_id: int, regions: list[dict[str, Any]]) -> int:
        self._project.answers.append((self._name, task_id, regions))
        return len(self._project.answers)


@pytest.fixture
def images(tmp_path: Path) -> FolderImages:
    return of_task("classification", tmp_path / "images")


def files_of(images: FolderImages) -> dict[int, Path]:
    return {task: images.pool[task % len(images.pool)] for task in range(60)}


def annotators_of(project: Any, people: Any, images: FolderImages) -> SimulatedAnnotators:
    return SimulatedAnnotators(project, people, 1, images, files_of(images), Screen(Console(file=StringIO())), lambda: None)


@pytest.mark.parametrize("task", KINDS)
def test_annotators_take_turns_and_label_each_round_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    images, masks = of_task(task, tmp_path / "images"), MaskFiles(tmp_path / "masks")
    project = Project([[5, 3, 17, 21], [8, 2, 44, 6], [9, 1, 7, 4]], controls=1)
    people = {name: Person(project, name) for name in ("Ada", "Ben")}
    closed: list[int] = []
    annotators_of(project, people, images).run(2, lambda each: closed.append(each.number))
    assert closed == [1, 2]
    assert project.done == [5, 3, 17, 21, 8, 2, 44, 6]
    assert [name for name, _, _ in project.answers] == ["Ada", "Ben"] * 4
    for _, number, regions in project.answers:
        assert [label_of(images, regions, masks)] == images.labels([files_of(images)[number]], masks)


def test_annotators_stop_when_the_pool_is_exhausted(monkeypatch: pytest.MonkeyPatch, images: FolderImages) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    project = Project([[5, 3], [8, 2]], controls=1)
    found = annotators_of(project, {"Ada": Person(project, "Ada")}, images).run(5, lambda _each: None)
    assert [each.number for each in found] == [1, 2]


def test_backend_that_stays_stuck_ends_the_demo_with_its_remedy(monkeypatch: pytest.MonkeyPatch, images: FolderImages) -> None:
    clock = iter(range(0, 100_000, 50))
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    project = Project([[5, 3]], controls=1)
    error = Trouble(message="The disk is full.", remedy="Free space.", at=None)
    stuck = project.status().model_copy(update={"labels_missing": 0, "error": error})
    monkeypatch.setattr(project, "status", lambda: stuck)
    with pytest.raises(PT4ALError, match="The disk is full") as ended:
        annotators_of(project, {"Ada": Person(project, "Ada")}, images).run(1, lambda _each: None)
    assert ended.value.remedy == "Free space."


def test_backend_that_is_silent_for_a_while_does_not_end_the_demo(monkeypatch: pytest.MonkeyPatch, images: FolderImages) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    project = Project([[5, 3, 17, 21]], controls=1)
    status, looks = project.status, iter(range(1_000_000))

    def restarting() -> ProjectStatus:
        if next(looks) % 3 < 2:
            raise Unreachable("The backend does not answer.")
        return status()

    monkeypatch.setattr(project, "status", restarting)
    closed = annotators_of(project, {"Ada": Person(project, "Ada")}, images).run(1, lambda _each: None)
    assert [each.number for each in closed] == [1]


def test_backend_that_never_answers_again_ends_the_demo(monkeypatch: pytest.MonkeyPatch, images: FolderImages) -> None:
    clock = iter(range(0, 100_000, 50))
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    project = Project([[5, 3]], controls=1)

    def gone() -> ProjectStatus:
        raise Unreachable("The backend does not answer.")

    monkeypatch.setattr(project, "status", gone)
    with pytest.raises(Unreachable):
        annotators_of(project, {"Ada": Person(project, "Ada")}, images).run(1, lambda _each: None)
