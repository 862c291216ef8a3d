"""Sync against a Label Studio that filters tasks by their date, as the real one does."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import create_engine, text

from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.sync import Sync
from pt4al_backend.images.mask_files import Mask, MaskFiles
from pt4al_backend.label_studio.annotations import LabelReader
from pt4al_backend.label_studio.classification import ClassificationReader
from pt4al_backend.label_studio.client import NotFound
from pt4al_backend.label_studio.label_config import SegmentationConfig, parse
from pt4al_backend.label_studio.outlines import regions_of
from pt4al_backend.label_studio.segmentation import SegmentationReader
from pt4al_backend.state.annotations import Annotated
from pt4al_backend.state.store import Store
from tests.support.trainings import known

CHOICES = '<Choices name="c" toName="image"><Choice value="a"/><Choice value="b"/></Choices>'
READER = ClassificationReader(parse(f'<View><Image name="image" value="$image"/>{CHOICES}</View>'))


class Studio:
    """Holds tasks; counts those that it was made to hand out."""

    def __init__(self) -> None:
        self.tasks: list[dict[str, Any]] = []
        self.handed_out = 0
        self.predictions: dict[int, dict[str, Any]] = {}

    def add(self, at: datetime) -> None:
        number = len(self.tasks) + 1
        stamp = at.isoformat().replace("+00:00", "Z")
        self.tasks.append({"id": number, "data": {"image": f"{number}.png"}, "updated_at": stamp, "annotations": []})

    def task_pages(self, _project: int, *, page_size: int, updated_since: str | None = None) -> Iterator[list[dict[str, Any]]]:
        since = datetime.fromisoformat(updated_since) if updated_since else datetime.min.replace(tzinfo=UTC)
        page = [task for task in self.tasks if datetime.fromisoformat(task["updated_at"]) >= since]
        self.handed_out += len(page)
        yield page

    def named_pages(self, _project: int, ids: Sequence[int], page_size: int) -> Iterator[list[dict[str, Any]]]:
        page = [task for task in self.tasks if task["id"] in ids]
        self.handed_out += len(page)
        yield page

    def task_ids(self, _project: int) -> list[int]:
        return [task["id"] for task in self.tasks]

    def answered_pages(self, _project: int) -> Iterator[list[dict[str, Any]]]:
        def marked(task: dict[str, Any]) -> dict[str, Any]:
            return {**task, "annotations": [{**each, "result": None} for each in task["annotations"]]}

        yield [marked(task) for task in self.tasks if task["annotations"]]

    def prediction(self, prediction_id: int) -> dict[str, Any]:
        if prediction_id not in self.predictions:
            raise NotFound("no such prediction")
        return self.predictions[prediction_id]


def look(store: Store, studio: Studio, reader: LabelReader = READER, *, reread: bool = False) -> int:
    """One increment, as a pass of the engine makes it; how many tasks Label Studio had to hand out."""
    project = known(store)
    before = studio.handed_out
    Sync(store, studio, project, reader).increment(reread=reread)  # type: ignore[arg-type]
    return studio.handed_out - before


def test_import_is_read_once(store: Store) -> None:
    studio = Studio()
    imported = datetime.now(UTC) - timedelta(hours=1)
    for k in range(50):
        studio.add(imported + timedelta(milliseconds=k))
    assert look(store, studio) == 50
    assert look(store, studio) <= 1


def test_change_that_became_visible_late_is_taken_over(store: Store) -> None:
    studio = Studio()
    now = datetime.now(UTC)
    studio.add(now)
    look(store, studio)
    studio.add(now - timedelta(seconds=5))  # of a transaction that took five seconds
    look(store, studio)
    assert store.task_ids(1).tolist() == [1, 2]


def test_label_is_read_again_when_its_image_changes(store: Store) -> None:
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


@pytest.mark.parametrize("result", ["\ud800", {"a": 1}, [{"from_name": "c", "value": {"choices": ["\0\ud800"]}}]])
def test_damaged_annotation_sets_only_its_task_aside(store: Store, result: Any) -> None:
    studio = Studio()
    marked = {"from_name": "c", "type": "choices", "value": {"choices": ["a"]}, "origin": {"a": 1}}
    for number, found in enumerate([result, [marked]], start=1):
        studio.add(datetime.now(UTC))
        task = studio.tasks[-1]
        task["annotations"] = [{"id": number, "result": found, "updated_at": task["updated_at"]}]
    look(store, studio)
    answers = store.answers(1)
    assert (answers[1].answer, answers[2].label) == ("skip", "a")
    assert [task for task, _ in store.set_aside(1)[1]] == [1]


def test_address_that_is_no_text_sets_its_task_aside(store: Store) -> None:
    studio = Studio()
    for address in ("\ud800.png", "a\0.png", "\u65e5\u672c \u00e9.png"):
        studio.add(datetime.now(UTC))
        studio.tasks[-1]["data"]["image"] = address
    look(store, studio)
    assert [task for task, _ in store.set_aside(1)[1]] == [1, 2]
    assert store.task_images(1, [3])[3] == "\u65e5\u672c \u00e9.png"


def test_image_in_the_task_is_kept_as_a_digest(store: Store) -> None:
    studio = Studio()
    studio.add(datetime.now(UTC))
    studio.tasks[0]["data"]["image"] = f"data:image/png;base64,{'A' * 1_000_000}"
    look(store, studio)
    first = store.task_images(1, [1])[1]
    assert len(first) < 100
    assert store.set_aside(1) == (0, [])
    store.set_tasks(1, {"id": [1], "row": [0]})
    look(store, studio)
    assert store.tasks(1).rows.tolist() == [0]  # nothing has changed
    studio.tasks[0]["data"]["image"] = f"data:image/png;base64,{'A' * 1_000_000}B"
    look(store, studio)
    assert store.task_images(1, [1])[1] != first
    assert store.tasks(1).rows.tolist() == [-1]


def test_full_pass_reads_only_changed_annotations(store: Store) -> None:
    studio = Studio()
    region = {"from_name": "c", "type": "choices", "value": {"choices": ["a"]}}
    for _ in range(4):
        studio.add(datetime.now(UTC) - timedelta(hours=1))
        task = studio.tasks[-1]
        task["annotations"] = [{"id": task["id"], "result": [region], "updated_at": task["updated_at"]}]
    look(store, studio)

    def full() -> int:
        project, before = known(store), studio.handed_out
        Sync(store, studio, project, READER).full()  # type: ignore[arg-type]
        return studio.handed_out - before

    assert full() == 0
    other = {**region, "value": {"choices": ["b"]}}
    studio.tasks[1]["annotations"] = [{"id": 9, "result": [other], "updated_at": studio.tasks[1]["updated_at"]}]
    studio.tasks[2]["annotations"] = []
    assert full() == 1
    assert {task: answer.label for task, answer in store.answers(1).items()} == {1: "a", 2: "b", 4: "a"}
    assert full() == 0


def made_by(annotator: Any, number: int, at: str, **fields: Any) -> dict[str, Any]:
    """An annotation that says who made it, and when."""
    return {"id": number, "result": [], "updated_at": at, "created_at": at, "completed_by": annotator, **fields}


def test_annotators_and_times_are_kept_while_the_annotations_are_there(store: Store) -> None:
    studio = Studio()
    at = "2026-11-30T08:15:00.250000Z"
    seconds = int(datetime.fromisoformat(at).timestamp())
    for _ in range(3):
        studio.add(datetime.now(UTC))
    studio.tasks[0]["annotations"] = [made_by(4, 11, at), made_by(5, 12, at, was_cancelled=True)]
    studio.tasks[1]["annotations"] = [
        made_by({"email": "ada@example.org"}, 13, at),
        {"id": 14, "result": [], "created_at": "soon"},
    ]
    look(store, studio)
    assert store.annotations(1, [1, 2, 3]) == {
        1: {Annotated(11, 4, seconds, False), Annotated(12, 5, seconds, True)},
        2: {Annotated(13, None, seconds, False)},
    }
    studio.tasks[0]["annotations"] = [made_by(4, 11, at)]
    look(store, studio)
    assert [each.id for each in store.annotations(1, [1])[1]] == [11]


def test_full_pass_fills_in_annotators_that_an_older_version_did_not_keep(store: Store) -> None:
    studio = Studio()
    at = "2026-11-30T08:15:00Z"
    for number in (1, 2):
        studio.add(datetime.now(UTC) - timedelta(hours=1))
        studio.tasks[-1]["annotations"] = [made_by(4, number, at)]
    look(store, studio)
    store.put_annotations(1, {1: (), 2: ()})
    studio.tasks[1]["annotations"] = []
    Sync(store, studio, known(store), READER).full()  # type: ignore[arg-type]
    assert list(store.annotations(1, [1, 2])) == [1]


def test_full_pass_counts_tasks_again_that_an_older_version_changed(store: Store, settings: ServerSettings) -> None:
    studio = Studio()
    for _ in range(3):
        studio.add(datetime.now(UTC) - timedelta(hours=1))
    look(store, studio)
    engine = create_engine(f"sqlite:///{settings.data_dir}/state.sqlite3")
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM tasks WHERE id = 3"))
    engine.dispose()
    studio.tasks.pop()
    Sync(store, studio, known(store), READER).full()  # type: ignore[arg-type]
    assert store.task_count(1) == 2


def segmentation(folder: Path) -> SegmentationReader:
    tag = '<PolygonLabels name="c" toName="image"><Label value="a"/><Label value="b"/></PolygonLabels>'
    config = parse(f'<View><Image name="image" value="$image"/>{tag}</View>')
    assert isinstance(config, SegmentationConfig)
    return SegmentationReader(config, MaskFiles(folder), lambda: MaskFiles(folder), 10_000)


def polygon(**size: int) -> dict[str, Any]:
    """The left half of the image."""
    value = {"points": [[0, 0], [50, 0], [50, 100], [0, 100]], "polygonlabels": ["a"]}
    return {"id": "p", "type": "polygonlabels", "from_name": "c", "value": value, **size}


@pytest.mark.parametrize("size", [{}, {"original_width": 40, "original_height": 30}], ids=["no size", "another size"])
def test_outlines_are_read_by_the_size_of_their_image_once_it_has_come(
    store: Store, tmp_path: Path, size: dict[str, int]
) -> None:
    studio, reader = Studio(), segmentation(tmp_path)
    studio.add(datetime.now(UTC))
    stamp = studio.tasks[0]["updated_at"]
    studio.tasks[0]["annotations"] = [{"id": 1, "result": [polygon(**size)], "updated_at": stamp}]
    look(store, studio, reader)
    assert bool(store.answers(1)[1].label) == bool(size)
    store.set_tasks(1, {"id": [1], "row": [0], "width": [20], "height": [10]})
    project = known(store)
    sync = Sync(store, studio, project, reader)  # type: ignore[arg-type]
    sync.read_again([1])
    answer = store.answers(1)[1]
    assert (answer.answer, answer.note, answer.label.partition("-")[0]) == ("label", "", "20x10")
    before = studio.handed_out
    sync.read_again([1])
    assert studio.handed_out == before


def test_ground_truth_that_was_set_later_decides(store: Store) -> None:
    studio = Studio()
    studio.add(datetime.now(UTC) - timedelta(hours=1))
    stamp = studio.tasks[0]["updated_at"]
    studio.tasks[0]["annotations"] = [
        {"id": number, "result": [{"from_name": "c", "value": {"choices": [label]}}], "updated_at": stamp, "ground_truth": False}
        for number, label in enumerate("abb")
    ]
    look(store, studio)
    assert store.answers(1)[1].label == "b"
    studio.tasks[0]["annotations"][0]["ground_truth"] = True
    project = known(store)
    Sync(store, studio, project, READER).full()  # type: ignore[arg-type]
    assert store.answers(1)[1].label == "a"


def test_corrected_prediction_is_not_accepted_even_after_its_deletion(store: Store, tmp_path: Path) -> None:
    reader = segmentation(tmp_path)
    config = reader.config
    ids = np.repeat(np.array([[0, 1]], np.uint8), 20, axis=0).repeat(10, axis=1)
    shown = [{**region, "origin": "prediction"} for region in regions_of(Mask(ids), config)]
    studio = Studio()
    studio.predictions[7] = {"id": 7, "result": shown}
    for number, result in enumerate([shown, shown[1:]]):
        studio.add(datetime.now(UTC))
        stamp = studio.tasks[number]["updated_at"]
        studio.tasks[number]["annotations"] = [{"id": number, "result": result, "parent_prediction": 7, "updated_at": stamp}]

    def accepted() -> list[bool]:
        return [store.answers(1)[task].accepted for task in (1, 2)]

    look(store, studio, reader)
    assert accepted() == [True, False]
    del studio.predictions[7]
    for task in studio.tasks:
        task["annotations"][0]["parent_prediction"] = None
    look(store, studio, reader, reread=True)
    assert accepted() == [True, False]
