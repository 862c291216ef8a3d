"""The overview: its numbers, as JSON and as a page, for a project with known truth and for what is not there yet."""

import json
import re
import time
from collections.abc import Callable
from html import unescape

import pytest

from pt4al_backend import artefacts
from pt4al_backend.config import ServerSettings
from pt4al_backend.jobs.results import CANDIDATES
from pt4al_backend.measures import ClassMeasured, Control, FullModel
from pt4al_backend.server.panels.overview import Overviews
from pt4al_backend.server.status import Statuses
from pt4al_backend.state.annotations import Annotated
from pt4al_backend.state.rounds import ClosedRound
from pt4al_backend.state.store import Store
from tests.support.bodies import setup
from tests.support.filled import CONTROLS, LABELS, PROJECT, fill
from tests.support.rounds import open_round, pick
from tests.support.web_client import Client


@pytest.fixture
def arrows(client: Client, store: Store, settings: ServerSettings) -> Client:
    fill(store, settings)
    return client


def test_curve_has_the_counts_of_every_round(arrows: Client) -> None:
    found = arrows.get(f"/api/projects/{PROJECT}/overview").json()
    assert found["metric"] == "accuracy"
    assert [(each["labels"], each["picks"]) for each in found["curve"]] == [
        (labels, total) for labels, (total, _) in zip(LABELS, CONTROLS, strict=True)
    ]
    assert [round(each["value"] * each["picks"]) for each in found["curve"]] == [right for _, right in CONTROLS]
    assert all(each["low"] < each["value"] < each["high"] for each in found["curve"])


def test_forecast_goes_from_the_labels_to_the_end_of_the_pool(arrows: Client) -> None:
    found = arrows.get(f"/api/projects/{PROJECT}/overview").json()
    expected = found["expected"]
    assert (expected[0]["labels"], expected[-1]["labels"]) == (60, 60 + 29)
    assert all(each["low"] <= each["value"] <= each["high"] for each in expected)
    assert found["advice"]["gain"]["labels"] == 29
    assert found["advice"]["sentence"]
    assert "29 images that are left" in found["price"]["sentence"]


def test_labels_are_counted_by_day_and_by_annotator(arrows: Client) -> None:
    found = arrows.get(f"/api/projects/{PROJECT}/overview").json()["labelling"]
    assert (found["today"], found["annotations"]) == (31, 91)
    assert found["per_hour"] == pytest.approx(91 / 0.75)
    assert sum(each["labels"] for each in found["hours"]) == 31
    assert len(found["hours"]) == 24
    assert [(each["annotator"], each["labels"], each["today"]) for each in found["annotators"]] == [(4, 46, 16), (5, 45, 15)]
    text = " ".join(arrows.page(f"/projects/{PROJECT}").text.split())
    assert "<td>User 4</td>" in text
    assert ">31<small>since" in text


def test_labels_of_a_new_annotation_are_counted_at_once(arrows: Client, store: Store) -> None:
    def total() -> int:
        answer = arrows.get(f"/api/projects/{PROJECT}/overview").json()
        return int(answer["labelling"]["annotations"])

    assert total() == 91
    store.put_annotations(PROJECT, {92: [Annotated(92, 4, int(time.time()), False)]})
    store.change(PROJECT, synced_until="2026-11-30T08:15:00.000000Z")  # as a sync does
    assert total() == 92


def test_page_carries_what_its_charts_show(arrows: Client) -> None:
    found = arrows.get(f"/api/projects/{PROJECT}/overview").json()
    text = arrows.page(f"/projects/{PROJECT}/status").text
    match = re.search(r'data-charts="([^"]*)"', text)
    assert match is not None
    hours = {"hours": found["labelling"]["hours"]}
    assert json.loads(unescape(match[1])) == {
        **{name: found[name] for name in ("metric", "curve", "expected")},
        "labelling": hours,
    }


def test_counts_of_a_forgotten_project_are_dropped(store: Store, settings: ServerSettings) -> None:
    def annotations(project: int) -> int:
        status = Statuses(store).of(project)
        assert status is not None
        return overviews.of(status).labelling.annotations

    overviews = Overviews(store, lambda: 1_800_000_000.0)
    fill(store, settings)
    assert annotations(PROJECT) == 91
    store.forget(store.project(PROJECT))
    open_round(store, pick(1))
    assert annotations(3) == 0
    store.connect(PROJECT)
    assert annotations(PROJECT) == 0


@pytest.mark.parametrize(("utc_offset", "today"), [(0, 5), (-10 * 60, 9), (-8 * 60, 0)])
def test_today_begins_at_the_viewers_midnight(store: Store, utc_offset: int, today: int) -> None:
    now = 1_800_000_000.0  # 08:00 UTC
    open_round(store, pick(1))
    hours_ago = {1: 11, 2: 11, 3: 11, 4: 11, 5: 6, 6: 6, 7: 6, 8: 6, 9: 6}
    store.put_annotations(3, {task: [Annotated(task, 4, int(now - 3600 * ago), False)] for task, ago in hours_ago.items()})
    status = Statuses(store).of(3)
    assert status is not None
    assert Overviews(store, lambda: now).of(status, utc_offset).labelling.today == today


def test_project_without_labels_says_what_it_lacks(client: Client) -> None:
    client.post("/setup", json=setup())
    found = client.get("/api/projects/3/overview").json()
    assert (found["curve"], found["expected"], found["price"]) == ([], [], None)
    assert found["advice"]["verdict"] == "unmeasured"
    assert found["labelling"]["per_hour"] is None
    text = client.page("/projects/3").text
    assert "No model has been measured yet." in text
    assert "Nothing is labelled yet." in text


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_answers_of_a_few_picks_can_be_shown(client: Client, store: Store, value: float) -> None:
    open_round(store, pick(1))
    measured = Control(metric="accuracy", total=3, value=value, low=max(value - 0.56, 0), high=min(value + 0.56, 1))
    open_round(store, pick(2, round_number=2), number=2, closed=ClosedRound(12, control=measured))
    found = client.get("/api/projects/3/overview").json()
    assert [each["value"] for each in found["curve"]] == [value]
    assert client.page("/projects/3").status_code == 200


def test_ten_thousand_hostile_classes_can_be_shown(client: Client, store: Store) -> None:
    open_round(store, pick(1))
    classes = {f"<b>{k}</b>": ClassMeasured(value=0.5, low=0.2, high=0.8) for k in range(10_000)}
    measured = Control(metric="mAP", total=9, value=0.5, low=0.2, high=0.8, classes=classes)
    open_round(store, pick(2, round_number=2), number=2, closed=ClosedRound(12, control=measured))
    text = client.page("/projects/3").text
    assert "<b>" not in text
    assert text.count("&lt;b&gt;") == 100
    assert "of 10,000." in text


def test_classes_are_listed_from_the_worst_with_what_the_model_before_made_of_them(client: Client, store: Store) -> None:
    def closed(labels: int, **values: float | None) -> ClosedRound:
        classes = {
            name: ClassMeasured(value=value, low=0.1, high=0.9) if value is not None else ClassMeasured()
            for name, value in values.items()
        }
        return ClosedRound(labels, control=Control(metric="mAP", total=9, value=0.5, low=0.2, high=0.8, classes=classes))

    open_round(store, pick(1))
    open_round(store, pick(2, round_number=2), number=2, closed=closed(12, cat=0.4, dog=0.6, owl=None))
    open_round(store, pick(3, round_number=3), number=3, closed=closed(24, cat=0.7, dog=0.5, owl=None))
    found = client.get("/api/projects/3/overview").json()
    assert [(each["name"], each["value"], each["before"]) for each in found["classes"]] == [("dog", 0.5, 0.6), ("cat", 0.7, 0.4)]
    assert (found["classes_total"], found["classes_absent"]) == (2, 1)


def test_measure_is_that_of_the_model_that_is_served(arrows: Client, store: Store, settings: ServerSettings) -> None:
    model = settings.data_dir / "projects" / str(PROJECT) / "full-1" / "result"
    with artefacts.writing(model) as folder:
        for name in (artefacts.WEIGHTS, CANDIDATES):
            (folder / name).write_bytes(b"of the full model")
    control = Control(metric="accuracy", total=30, value=0.96, low=0.84, high=0.99)
    full = FullModel(model=str(model.relative_to(settings.data_dir)), labels=48, control=control)
    store.change(PROJECT, full_model=full, notices={"tuning": "It won."})
    found = arrows.get(f"/api/projects/{PROJECT}").json()
    assert (found["served"], found["control"]["value"]) == ({"kind": "full", "labels": 48}, 0.96)
    text = " ".join(arrows.page(f"/projects/{PROJECT}").text.split())
    assert "96.0" in text
    assert "one whose encoder is trained too<small>48 labels learned</small>" in text
    assert "It won." in text
    assert "It is one whose encoder is trained too." in arrows.page(f"/projects/{PROJECT}/take-away").text
    assert "has learned 48 labels with its encoder" in arrows.page(f"/projects/{PROJECT}/report").text
    # damaged, it is not served any more, whatever the state says
    (model / artefacts.WEIGHTS).write_bytes(b"damaged")
    found = Statuses(store, data_dir=settings.data_dir).find(str(PROJECT))
    assert (found.served.kind, found.served.labels, found.control.value) == ("round", LABELS[-1], pytest.approx(24 / 30))


@pytest.mark.parametrize("offset", ["7", "900", "x"])
def test_clock_of_nowhere_is_refused(arrows: Client, offset: str) -> None:
    answer = arrows.get(f"/api/projects/{PROJECT}/overview?utc_offset={offset}")
    assert answer.status_code == 400
    assert answer.json()["remedy"]


def test_project_that_never_connected_has_no_overview(connect_client: Callable[..., Client]) -> None:
    for path in ("/api/projects/9/overview", "/projects/9", "/api/projects/9/events"):
        assert connect_client().get(path).status_code == 404
