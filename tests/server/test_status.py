"""A project's status, as the page and the API show it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.measures import ClassMeasured, Control, Measured
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress
from pt4al_backend.server.metrics import Metrics
from pt4al_backend.server.status import Statuses
from pt4al_backend.state.columns import JsonOf
from pt4al_backend.state.rounds import ClosedRound
from pt4al_backend.state.schema import AnswerKind, Round, RoundState
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support.bodies import event, setup
from tests.support.rounds import PROJECT, VERSION, add_tasks, open_round, pick
from tests.support.web_client import Client

LABELLED, SKIPPED = StoredAnswer(AnswerKind.LABEL, "a"), StoredAnswer(AnswerKind.SKIP)


MEASURED = Control(metric="accuracy", total=4, value=0.75, low=0.3, high=0.95)


@pytest.fixture
def busy(store: Store) -> Store:
    """Round 2 of a pool of 60: two of four requested tasks are answered, one image is broken, a model was measured."""
    picks = [pick(i) for i in range(1, 4)] + [pick(4, "control"), pick(5, "reserve")]
    open_round(store, *picks)
    add_tasks(store, *range(1, 61))
    second = [pick(i, round_number=2) for i in (11, 12, 13)]
    second += [pick(14, "control", round_number=2), pick(15, "reserve", round_number=2)]
    open_round(store, *second, number=2, closed=ClosedRound(3, control=MEASURED, seconds={"train": 7.5}))
    store.set_tasks(PROJECT, {"id": list(range(1, 61)), "row": list(range(60)), "loss": [1.0] * 60, "batch": [1, 2, 2] * 20})
    store.set_tasks(PROJECT, {"id": [20], "row": [None], "problem": ["The image file is empty."]})
    store.put_answers(PROJECT, {**dict.fromkeys((1, 2, 11, 15), LABELLED), 14: SKIPPED})
    store.change(PROJECT, title="Digits", phase="training", progress=Progress(Phase.TRAINING, 3, 10, 5, 10, eta=42.5))
    return store


def test_identical_images_are_counted_and_the_largest_groups_shown(client: Client, busy: Store) -> None:
    busy.put_digests(PROJECT, {i: "a" if i < 31 else "b" if i < 33 else str(i) for i in range(1, 61) if i != 20})
    found = client.get("/api/projects/3").json()
    assert found["copies_total"] == 29
    assert found["copies"] == [{"size": 29, "tasks": list(range(1, 11))}, {"size": 2, "tasks": [31, 32]}]
    page = client.get("/projects/3/status").text
    assert "29 images are identical to that of an earlier task" in page


def test_history_ends_with_the_open_round_and_is_bounded(client: Client, busy: Store) -> None:
    control = Control(metric="accuracy", value=0.5, total=4, classes={"a": ClassMeasured(value=0.5)})
    for number in range(3, 124):
        picked = [pick(60, round_number=number)]
        open_round(busy, *picked, number=number, closed=ClosedRound(3, control=control))
    found = client.get("/api/projects/3").json()
    assert [each["number"] for each in found["history"]] == list(range(24, 124))
    assert found["control"]["classes"] == {"a": {"value": 0.5, "low": None, "high": None, "picks": None}}
    assert not any(each["control"]["classes"] for each in found["history"])


class Slow(Store):
    """A state whose answers about project 3 are held back."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.reached, self.held = Event(), Event()

    def counts(self, project_id: int) -> dict[str, int]:
        if project_id == PROJECT:
            self.reached.set()
            assert self.held.wait(60)
        return super().counts(project_id)


def test_reading_one_project_holds_up_no_other(busy: Store, settings: ServerSettings) -> None:
    busy.connect(4, label_config="")
    slow = Slow.open(settings)
    statuses = Statuses(slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(statuses.of, PROJECT)
        assert slow.reached.wait(60)
        other = statuses.of(4)
        assert other is not None
        assert not first.done()
        slow.held.set()
        assert first.result(60) is not None
    slow.close()


def test_metrics_read_no_lists(busy: Store, settings: ServerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[int] = []

    class Watched(Store):
        def set_aside(self, project_id: int, limit: int = 100) -> tuple[int, list[tuple[int, str]]]:
            limits.append(limit)
            return super().set_aside(project_id, limit)

    watched = Watched.open(settings)
    page = Metrics(Statuses(watched)).page().decode()
    watched.close()
    assert 'pt4al_set_aside{project="3"} 1.0' in page
    assert 'pt4al_labels_missing{project="3"} 2.0' in page
    assert limits == [0]


def test_status_shows_where_the_project_stands(client: Client, busy: Store) -> None:
    found = client.get("/api/projects/3").json()
    assert (found["title"], found["phase"], found["eta_seconds"]) == ("Digits", "training", 42.5)
    assert found["progress"] == {"phase": "training", "epoch": 3, "epochs": 10, "done": 5, "total": 10, "eta": 42.5}
    assert (found["round"], found["batch_sizes"]) == (2, [20, 40])
    assert (found["labels_in"], found["labels_missing"]) == (2, 2)
    assert found["picks"] == {
        "query": {"requested": 3, "answered": 1},
        "control": {"requested": 1, "answered": 1},
        "reserve": {"requested": 1, "answered": 1},
        "person": {"requested": 0, "answered": 0},
    }
    assert found["tasks"] == {"tasks": 60, "pool": 59, "fetched": 59, "scored": 60, "labelled": 4, "skipped": 1, "aside": 1}
    assert found["model_version"] == VERSION
    assert found["control"] == MEASURED.model_dump()
    assert [(each["number"], each["state"], each["labels"]) for each in found["history"]] == [(1, "closed", 3), (2, "open", 0)]
    assert (found["aside_total"], found["aside"]) == (1, [{"task": 20, "reason": "The image file is empty."}])
    assert found["error"] is None
    assert (found["query_size"], found["control_size"], found["reserve_size"], found["rounds"]) == (20, 2, 20, 2)
    assert client.get("/api/projects").json() == [found]


def test_images_read_in_part_are_counted_and_not_set_aside(client: Client, busy: Store) -> None:
    ids = list(range(21, 51))
    busy.set_tasks(PROJECT, {"id": ids, "image_note": ["The file is cut short."] * len(ids)})
    found = client.get("/api/projects/3").json()
    assert (found["image_notes_total"], len(found["image_notes"])) == (30, 20)
    assert found["image_notes"][0] == {"task": 21, "reason": "The file is cut short."}
    assert (found["aside_total"], found["tasks"]["aside"], found["tasks"]["pool"]) == (1, 1, 59)
    page = client.get("/projects/3").text
    assert "30 images are read in part or stretched, and used all the same" in page
    assert "The file is cut short." in page


def test_task_without_readable_annotation_is_set_aside_not_skipped(client: Client, busy: Store) -> None:
    busy.put_answers(PROJECT, dict.fromkeys((12, 13), SKIPPED._replace(note="Submitted without a choice.")))
    found = client.get("/api/projects/3").json()
    assert (found["tasks"]["skipped"], found["tasks"]["aside"], found["aside_total"]) == (1, 3, 3)
    assert (found["labels_missing"], found["query_size"]) == (0, 20)  # they are answered, and their images remain in the pool
    page = " ".join(client.page("/projects/3").text.split())
    assert "1 skipped · 3 set aside" in page
    assert "3 tasks have an image or an annotation that cannot be used" in page


def test_metric_is_known_before_the_first_model(client: Client, store: Store) -> None:
    open_round(store, pick(1))
    assert client.get("/api/projects/3").json()["control"]["metric"] == "accuracy"
    polygons = '<PolygonLabels name="c" toName="image"><Label value="a"/><Label value="b"/></PolygonLabels>'
    client.post("/setup", json=setup("4", schema=f'<View><Image name="image" value="$image"/>{polygons}</View>'))
    store.open_round(4, Round(project_id=4, number=1, state=RoundState.OPEN), [])
    found = client.get("/api/projects/4").json()
    assert [found["control"]["metric"], *(each["control"]["metric"] for each in found["history"])] == ["mIoU", "mIoU"]


def test_task_set_aside_is_not_waited_for(client: Client, busy: Store) -> None:
    busy.set_tasks(PROJECT, {"id": [12], "problem": ["Gone."]})
    assert client.get("/api/projects/3").json()["labels_missing"] == 1


def test_last_error_comes_with_its_remedy(client: Client, busy: Store) -> None:
    busy.change(PROJECT, error="Label Studio refuses the token.", remedy="Set LABEL_STUDIO_API_KEY.", error_at=1.5)
    busy.notice(PROJECT, "pretext", "The ranking means nothing here.")
    found = client.get("/api/projects/3").json()
    assert found["error"] == {"message": "Label Studio refuses the token.", "remedy": "Set LABEL_STUDIO_API_KEY.", "at": 1.5}
    assert found["notices"] == {"pretext": "The ranking means nothing here."}


def test_full_disk_is_shown_although_nothing_can_be_written(client: Client, busy: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.get("/api/projects/3").json()["error"] is None
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    full = Statuses(busy, data_dir=Path("/var/lib/pt4al")).find("3").error
    assert full is not None
    assert "/var/lib/pt4al" in full.message
    assert "PT4AL_DATA_DIR" in full.remedy


def test_status_shows_the_settings_in_force(client: Client) -> None:
    client.post("/setup", json=setup(extra_params={"rounds": 4}))
    found = client.get("/api/projects/3").json()["settings"]
    assert (found["rounds"], found["strategy"]) == (4, "pt4al")


def test_project_without_tasks_has_a_status(client: Client) -> None:
    client.post("/setup", json=setup())
    found = client.get("/api/projects/3").json()
    assert (found["phase"], found["query_size"], found["history"], found["webhook_at"]) == ("connected", 0, [], None)


def test_status_shows_when_the_last_webhook_came(client: Client) -> None:
    client.post("/setup", json=setup())
    client.post("/webhook", json=event())
    assert client.get("/api/projects/3").json()["webhook_at"] > 1_700_000_000


def test_status_is_read_at_most_once_a_second(busy: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_800_000_000.0]
    statuses = Statuses(busy, clock=lambda: now[0])
    assert statuses.find("3").phase == "training"
    busy.change(PROJECT, phase="publishing", progress=Progress(Phase.PUBLISHING))
    now[0] += 0.5
    assert statuses.find("3").phase == "training"
    now[0] += 0.6
    assert statuses.find("3").phase == "publishing"


def test_pool_is_counted_when_something_has_changed_and_now_and_then(busy: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    count = Store.counts
    monkeypatch.setattr(Store, "counts", lambda self, project_id: (counted.append(project_id), count(self, project_id))[1])
    now = [1_800_000_000.0]
    statuses = Statuses(busy, clock=lambda: now[0])

    def labelled_after(seconds: float) -> tuple[int, int]:
        now[0] += seconds
        return statuses.find("3").tasks.labelled, len(counted)

    assert labelled_after(0) == (4, 1)
    assert labelled_after(2) == (4, 1)
    busy.put_answers(PROJECT, {12: LABELLED})  # of the open round
    assert labelled_after(2) == (5, 2)
    busy.put_answers(PROJECT, {30: LABELLED})
    busy.change(PROJECT, synced_until="2026-11-30T08:15:00.000000Z")
    assert labelled_after(2) == (6, 3)
    busy.request(PROJECT)
    statuses.note_event(PROJECT)
    assert labelled_after(2) == (6, 3)
    assert statuses.find("3").webhook_at is not None
    busy.put_answers(PROJECT, {31: LABELLED})  # of an import that goes on
    assert labelled_after(2) == (6, 3)
    assert labelled_after(30) == (7, 4)


def test_classes_of_one_model_alone_are_read(client: Client, busy: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    classes = {f"class {number}": ClassMeasured(value=0.5) for number in range(50)}
    for number in range(3, 9):
        control = Control(
            metric="accuracy", value=0.5, total=4, exact_match=Measured(value=0.25, low=0.0, high=1.0), classes=classes
        )
        open_round(busy, pick(60, round_number=number), number=number, closed=ClosedRound(3, control=control))
    parsed: list[object] = []
    read = JsonOf.read
    monkeypatch.setattr(JsonOf, "read", lambda self, value: (parsed.append(value), read(self, value))[1])
    found = client.get("/api/projects/3").json()
    assert sum(isinstance(each, dict) and bool(each.get("classes")) for each in parsed) == 1
    assert len(found["control"]["classes"]) == 50
    assert [each["control"]["value"] for each in found["history"]] == [0.75, *[0.5] * 6, None]
    assert found["history"][2]["control"]["exact_match"] == {"value": 0.25, "low": 0.0, "high": 1.0}


def test_read_only_data_folder_is_shown(client: Client, busy: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert busy.project_ids() == [3]
    monkeypatch.setattr("os.access", lambda *_: False)
    found = client.get("/api/projects/3").json()
    assert found["phase"] == "blocked"
    assert "cannot be written" in found["error"]["message"]
    assert "PT4AL_DATA_DIR" in found["error"]["remedy"]
