"""Sync against a Label Studio that filters tasks by their date, as the real one does."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pt4al_backend.label_studio.choices import Choices
from pt4al_backend.label_studio.label_config import parse
from pt4al_backend.settings import Settings
from pt4al_backend.store import Store
from pt4al_backend.sync import Sync

CHOICES = '<Choices name="c" toName="image"><Choice value="a"/><Choice value="b"/></Choices>'
LABELLING = Choices(parse(f'<View><Image name="image" value="$image"/>{CHOICES}</View>'))


class Studio:
    """Holds tasks; counts those that it was made to hand out."""

    def __init__(self) -> None:
        self.tasks: list[dict[str, Any]] = []
        self.handed_out = 0

    def add(self, at: datetime) -> None:
        number = len(self.tasks) + 1
        stamp = at.isoformat().replace("+00:00", "Z")
        self.tasks.append({"id": number, "data": {"image": f"{number}.png"}, "updated_at": stamp, "annotations": []})

    def task_pages(self, _project: int, *, page_size: int, updated_since: str | None = None) -> Iterator[list[dict[str, Any]]]:
        since = datetime.fromisoformat(updated_since) if updated_since else datetime.min.replace(tzinfo=UTC)
        page = [task for task in self.tasks if datetime.fromisoformat(task["updated_at"]) >= since]
        self.handed_out += len(page)
        yield page


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    store = Store.open(settings)
    store.connect(1)
    yield store
    store.close()


def look(store: Store, studio: Studio) -> int:
    """One increment, as a pass of the engine makes it; how many tasks Label Studio had to hand out."""
    project = store.project(1)
    assert project is not None
    before = studio.handed_out
    Sync(store, studio, project, LABELLING).increment()  # type: ignore[arg-type]
    return studio.handed_out - before


def test_an_import_is_read_once_however_often_one_looks(store: Store) -> None:
    studio = Studio()
    imported = datetime.now(UTC) - timedelta(hours=1)
    for k in range(50):
        studio.add(imported + timedelta(milliseconds=k))
    assert look(store, studio) == 50
    assert look(store, studio) <= 1


def test_a_change_that_became_visible_late_is_taken_over(store: Store) -> None:
    studio = Studio()
    now = datetime.now(UTC)
    studio.add(now)
    look(store, studio)
    studio.add(now - timedelta(seconds=5))  # of a transaction that took five seconds
    look(store, studio)
    assert store.task_images(1).keys() == {1, 2}


def test_a_label_is_looked_at_anew_with_the_image_that_it_belongs_to(store: Store) -> None:
    studio = Studio()
    studio.add(datetime.now(UTC))
    region = {"from_name": "c", "type": "choices", "value": {"choices": ["a"]}}
    studio.tasks[0]["annotations"] = [{"id": 5, "result": [region], "updated_at": studio.tasks[0]["updated_at"]}]
    look(store, studio)
    store.set_tasks(1, {"id": [1], "note": ["It does not fit its image."]})
    look(store, studio)
    assert store.answers(1)[1].note  # nothing has changed
    studio.tasks[0]["data"]["image"] = "another.png"
    look(store, studio)
    assert (store.answers(1)[1].label, store.answers(1)[1].note) == ("a", "")
