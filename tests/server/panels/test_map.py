"""The map: places and colours of the images, in columns that belong together."""

import gzip
import itertools
from typing import Any

import numpy as np
import pytest

from pt4al_backend import artefacts
from pt4al_backend.config import ServerSettings
from pt4al_backend.progress import Progress
from pt4al_backend.state.map_tasks import MapStore
from pt4al_backend.state.paths import project_dir
from pt4al_backend.state.schema import AnswerKind, Project
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support.filled import DIGEST, ENCODER, FEATURES, PROJECT, fill
from tests.support.images import CLASSES, class_of
from tests.support.layouts import lay_out_filled, write_learner
from tests.support.web_client import Client

PLACES = f"/api/projects/{PROJECT}/map"
COLOURS = f"{PLACES}/colours"
PAGE = f"/projects/{PROJECT}/map"
TASKS = 120


@pytest.fixture
def drawn(store: Store, settings: ServerSettings) -> Store:
    fill(store, settings)
    lay_out_filled(store, settings)
    return store


@pytest.fixture
def undrawn(store: Store, settings: ServerSettings) -> Store:
    fill(store, settings)
    learner = write_learner(project_dir(settings, Project(id=PROJECT)) / "rank-1" / "result", ENCODER, DIGEST, FEATURES)
    store.change(PROJECT, params={"encoder": ENCODER}, learner=str(learner.relative_to(settings.data_dir)))
    return store


def colours(client: Client) -> dict[int, dict[str, Any]]:
    """The values of each task."""
    tasks, found = client.get(PLACES).json()["tasks"], client.get(COLOURS).json()
    columns = ("label", "predicted", "uncertainty", "batch", "queue", "control")
    known = {task: {name: found[name][point] for name in columns} for point, task in enumerate(tasks)}
    for values in known.values():
        for name in ("label", "predicted"):
            values[name] = found["names"][values[name]] if values[name] >= 0 else None
        values["queue"] = found["queue_kinds"][values["queue"]] if values["queue"] >= 0 else None
    return known


def test_each_image_has_its_place(client: Client, drawn: Store) -> None:
    found = client.get(PLACES).json()
    assert (found["state"], found["why"], found["images"], found["without_features"]) == ("drawn", "", TASKS, 0)
    assert sorted(found["tasks"]) == list(range(1, TASKS + 1))
    x, y = np.array(found["x"]), np.array(found["y"])
    assert (min(x.min(), y.min()), max(x.max(), y.max())) == (0, 9_999)
    of = np.array(found["tasks"]) % len(CLASSES)
    centres = [np.array([x[of == number].mean(), y[of == number].mean()]) for number in range(len(CLASSES))]
    assert min(np.linalg.norm(one - other) for one, other in itertools.combinations(centres, 2)) > 1_000


def test_colours_are_those_of_the_state(client: Client, drawn: Store) -> None:
    found = colours(client)
    assert found[2] == {"label": class_of(2), "predicted": None, "uncertainty": -1, "batch": 1, "queue": None, "control": 0}
    assert (found[1]["label"], found[1]["control"]) == (class_of(1), 1)
    assert (found[93]["queue"], found[93]["predicted"], found[93]["uncertainty"]) == ("query", class_of(93), 48)
    assert (found[92]["queue"], found[92]["predicted"], found[92]["uncertainty"]) == ("control", None, -1)
    assert [task for task, each in found.items() if each["queue"] == "reserve"] == [97, 98, 99]
    assert found[91]["queue"] is None
    assert (found[120]["label"], found[120]["batch"]) == (None, 2)


def test_answers_of_the_model_to_its_candidates_are_shown(client: Client, drawn: Store, settings: ServerSettings) -> None:
    folder = project_dir(settings, Project(id=PROJECT)) / "learn-4"
    with artefacts.writing(folder / "result") as result:
        labels = np.array([CLASSES[0], CLASSES[1]])
        np.savez(result / "candidates.npz", labels=labels, least_confidence=np.array([0.9, 0.25]))
    np.save(folder / "candidate_ids.npy", np.array([110, 111]))
    np.save(folder / "candidates.npy", np.array([0, 1]))
    drawn.change(PROJECT, model=str((folder / "result").relative_to(settings.data_dir)))
    found = colours(client)
    assert (found[110]["predicted"], found[110]["uncertainty"]) == (CLASSES[0], 10)
    assert (found[111]["predicted"], found[111]["uncertainty"]) == (CLASSES[1], 75)
    (folder / "result" / "candidates.npz").write_bytes(b"spoilt")
    drawn.change(PROJECT, full_sync_at=1.0)
    assert colours(client)[110]["predicted"] is None


def test_places_are_sent_once_and_colours_belong_to_them(client: Client, drawn: Store, settings: ServerSettings) -> None:
    first = client.get(PLACES)
    assert first.json()["version"] == client.get(COLOURS).json()["version"] != ""
    assert client.get(PLACES, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    drawn.change(PROJECT, round=3)
    assert client.get(PLACES).headers["ETag"] == first.headers["ETag"]
    lay_out_filled(drawn, settings, 60)
    again = client.get(PLACES, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.json()["images"]) == (200, 60)


def test_pool_is_read_for_its_colours_when_images_or_batches_are_others(
    client: Client, drawn: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings: list[int] = []
    read = Store.stored_tasks
    monkeypatch.setattr(Store, "stored_tasks", lambda self, project: (readings.append(project), read(self, project))[1])
    first = colours(client)
    drawn.change(PROJECT, progress=Progress(done=7))
    assert (colours(client), len(readings)) == (first, 1)
    drawn.put_answers(PROJECT, {93: StoredAnswer(AnswerKind.LABEL, CLASSES[0])})  # of the open round
    assert (colours(client)[93]["label"], len(readings)) == (CLASSES[0], 1)
    drawn.put_answers(PROJECT, {120: StoredAnswer(AnswerKind.LABEL, CLASSES[1])})
    drawn.change(PROJECT, synced_until="2026-11-30T08:15:00.000000Z")
    assert (colours(client)[120]["label"], len(readings)) == (CLASSES[1], 1)
    drawn.set_tasks(PROJECT, {"id": [120], "batch": [1]})
    assert (colours(client)[120]["batch"], len(readings)) == (1, 2)
    drawn.drop_tasks(PROJECT, [119])
    assert (colours(client)[119]["batch"], len(readings)) == (0, 3)


def test_pool_is_not_read_where_there_is_no_map(client: Client, undrawn: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(MapStore, "stored_tasks")
    found = client.get(COLOURS).json()
    assert (found["version"], found["round"], found["label"]) == ("", 4, [])


def test_answers_are_compressed_for_those_who_take_that(client: Client, drawn: Store) -> None:
    plain = client.get(PLACES, headers={"Accept-Encoding": "identity"})
    packed = client.get(PLACES, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.json() == plain.json()
    assert len(gzip.compress(plain.content)) < len(plain.content)


def test_deleted_tasks_and_other_images_are_told(client: Client, drawn: Store) -> None:
    drawn.drop_tasks(PROJECT, [5, 7])
    drawn.put_tasks(PROJECT, [{"id": 9, "image": "another.png", "problem": ""}])
    tasks, found = client.get(PLACES).json()["tasks"], client.get(COLOURS).json()
    assert {tasks[point] for point in found["gone"]} == {5, 7, 9}
    assert colours(client)[9]["label"] is None


def test_project_without_a_map_says_why(client: Client, undrawn: Store, settings: ServerSettings) -> None:
    found = client.get(PLACES).json()
    assert (found["state"], found["tasks"]) == ("drawing", [])
    assert found["why"] in client.page(PAGE).text
    assert client.get(COLOURS).json()["label"] == []
    (project_dir(settings, Project(id=PROJECT)) / "layout-1").mkdir()
    (project_dir(settings, Project(id=PROJECT)) / "layout-1" / "failed.txt").write_text("<b>No ink.</b>")
    assert client.get(PLACES).json()["state"] == "failed"
    assert "&lt;b&gt;No ink.&lt;/b&gt;" in client.page(PAGE).text
    undrawn.change(PROJECT, params={"encoder": "resnet18"})  # whose pool was ranked without being described
    assert client.get(PLACES).json()["state"] == "no features"
    assert "The next ranking describes them" in client.page(PAGE).text


def test_project_whose_images_are_all_set_aside_says_so(client: Client, undrawn: Store) -> None:
    undrawn.set_tasks(PROJECT, {"id": list(range(1, TASKS + 1)), "problem": ["The image file is empty."] * TASKS})
    assert client.get(PLACES).json()["state"] == "no images"
    assert "all are set aside" in client.page(PAGE).text


def test_unknown_project_has_no_map(client: Client) -> None:
    for address in (PLACES, COLOURS, PAGE):
        assert client.get(address).status_code == 404


def test_only_the_frame_may_make_code_and_it_has_no_origin(client: Client, drawn: Store) -> None:
    assert "unsafe-eval" not in client.page(PAGE).headers["Content-Security-Policy"]
    policy = client.page("/map/frame").headers["Content-Security-Policy"]
    for part in ("'unsafe-eval'", "sandbox allow-scripts;", "default-src 'none'", "frame-ancestors 'self'"):
        assert part in policy
    assert "allow-same-origin" not in policy
