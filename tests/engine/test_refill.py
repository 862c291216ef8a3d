"""A refill that is ended in the middle: the project is paused, has other settings, or is another host's by now."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.engine import refill as refilling
from pt4al_backend.engine.ranked_rest import Entry, Heading, Rest, write
from pt4al_backend.engine.refill import refill
from pt4al_backend.state.paths import rest_dir
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store
from tests.support.images import LABEL_CONFIG, arrow

PROJECT, IMAGES = 7, 4


class Ended(Exception):
    """What ends a look."""


class Studio:
    """What of Label Studio a refill uses: it has no task, and takes what is imported."""

    def __init__(self) -> None:
        self.imported: list[Any] = []

    def task_pages(self, *_: object, **__: object) -> list[Any]:
        return []

    def import_tasks(self, _: int, tasks: Sequence[Any]) -> None:
        self.imported += tasks


class Ticks:
    """Ends a refill at one of its ticks."""

    def __init__(self, last: int) -> None:
        self.left = last

    def __call__(self) -> None:
        self.left -= 1
        if not self.left:
            raise Ended


@pytest.mark.parametrize("last", [2, IMAGES + 1, IMAGES + 2], ids=["image", "import", "second import"])
def test_refill_that_is_ended_adds_the_rest_later_and_nothing_twice(
    settings: ServerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    monkeypatch.setattr(refilling, "SLICE", IMAGES)
    names = [str(tmp_path / f"{number}.png") for number in range(2 * IMAGES)]
    for number, name in enumerate(names):
        arrow(number).save(name)
    heading = Heading(root=str(tmp_path), prefix=None, presign=None, task="classification", stored=(64, 64))
    write(tmp_path / "tasks.rest.jsonl", heading, [Entry(name, f"{number:064}", {}) for number, name in enumerate(names)])
    rest, studio, store = Rest(rest_dir(settings, Project(id=PROJECT))), Studio(), Store.open(settings)
    store.connect(PROJECT, label_config=LABEL_CONFIG, task="classification", stored_height=32, stored_width=32)
    project = store.project(PROJECT)
    rest.give(tmp_path / "tasks.rest.jsonl")
    with pytest.raises(Ended):
        refill(store, settings, studio, project, 2 * IMAGES, Ticks(last))
    assert rest.left == 2 * IMAGES - len(studio.imported)
    done = refill(store, settings, studio, project, 2 * IMAGES)
    assert (done.twins, done.unreadable, done.left) == (0, 0, 0)
    added = [task["data"]["image"] for task in studio.imported]
    assert len(set(added)) == len(added) == 2 * IMAGES
    store.close()
