"""The classes of a project one by one."""

import json
import re
from html import unescape

import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.measures import ClassMeasured, Control
from pt4al_backend.server.panels.classes import FEW_PICKS, FOUND_SHOWN
from pt4al_backend.state.rounds import ClosedRound
from pt4al_backend.state.store import Store
from tests.support.filled import CONTROLS, LABELS, PROJECT, fill
from tests.support.images import class_of
from tests.support.rounds import open_round, pick
from tests.support.web_client import Client

HOSTILE = """'"><img src=x onerror=alert(1)>$."classes"{},"""


def measured(store: Store, *rounds: dict[str, ClassMeasured]) -> None:
    """A project 3 whose rounds measured these classes."""
    open_round(store, pick(1))
    for number, classes in enumerate(rounds, 2):
        control = Control(metric="accuracy", total=30, value=0.5, low=0.3, high=0.7, classes=classes)
        open_round(
            store, pick(number, round_number=number), number=number, closed=ClosedRound(12 * (number - 1), control=control)
        )


def some(value: float | None, picks: int | None = 12) -> ClassMeasured:
    return ClassMeasured(value=value, low=0.1, high=0.9, picks=picks) if value is not None else ClassMeasured(picks=0)


def test_curve_of_a_class_has_its_measure_in_every_round(client: Client, store: Store, settings: ServerSettings) -> None:
    fill(store, settings)
    found = client.get(f"/api/projects/{PROJECT}/classes/curve", params={"class": class_of(1)}).json()
    assert (found["name"], found["metric"]) == (class_of(1), "accuracy")
    points = found["points"]
    assert [(each["labels"], each["picks"], round(each["value"] * each["picks"])) for each in points] == [
        (labels, total, right) for labels, (total, right) in zip(LABELS, CONTROLS, strict=True)
    ]
    assert all(each["low"] < each["value"] < each["high"] for each in points)


def test_page_shows_the_chosen_class_beside_all_and_says_where_picks_are_few(client: Client, store: Store) -> None:
    measured(store, {"cat": some(0.5), "owl": some(0.5)}, {"cat": some(0.7), "owl": some(0.6, FEW_PICKS - 1)})
    text = " ".join(client.page("/projects/3", params={"class": "cat"}).text.split())
    assert "70.0 % <span" in text
    assert "12 control picks" in text
    assert "say little" not in text
    match = re.search(r'data-chosen="([^"]*)"', text)
    assert match is not None
    assert [each["value"] for each in json.loads(unescape(match[1]))["points"]] == [0.5, 0.7]
    part = client.page("/projects/3/status", params={"class": "owl"}).text
    assert "So few control picks say little about one class." in part
    assert "data-chosen" not in client.page("/projects/3").text


@pytest.mark.parametrize("name", ["", "no such class", HOSTILE, "\N{NULL}"])
def test_class_that_no_control_pick_has_says_so(client: Client, store: Store, name: str) -> None:
    measured(store, {"cat": some(0.5)})
    assert client.get("/api/projects/3/classes/curve", params={"class": name}).json()["points"] == []
    text = client.page("/projects/3", params={"class": name}).text
    assert "no control pick has this class" in text
    assert "<img src=x" not in text


@pytest.mark.parametrize("name", [HOSTILE, "$.x", "a.b", '"', "café", "{a,b}", "0"])
def test_any_name_is_found(client: Client, store: Store, name: str) -> None:
    measured(store, {"cat": some(0.5), name: some(0.25)}, {name: some(0.75)})
    found = client.get("/api/projects/3/classes/curve", params={"class": name}).json()
    assert [each["value"] for each in found["points"]] == [0.25, 0.75]
    assert [
        each["name"] for each in client.get("/api/projects/3/classes", params={"search": name.upper()}).json()["classes"]
    ] == [name]


def test_classes_are_searched_by_a_part_of_their_name(client: Client, store: Store) -> None:
    measured(store, {"tomcat": some(0.5), "Cat": some(0.25, None), "dog": some(None)})
    found = client.get("/api/projects/3/classes", params={"search": "cat"}).json()
    assert [(each["name"], each["value"]) for each in found["classes"]] == [("Cat", 0.25), ("tomcat", 0.5)]
    assert client.get("/api/projects/3/classes").json()["total"] == 3
    assert client.get("/api/projects/3/classes", params={"search": "cow"}).json() == {"total": 0, "classes": []}
    assert client.get("/api/projects/3/classes", params={"search": "x" * 3_000}).status_code == 400


def test_classes_are_called_as_people_read_them_and_chosen_by_what_annotations_hold(client: Client, store: Store) -> None:
    config = (
        '<View><Image name="image" value="$image"/><Choices name="animal" toName="image"><Choice value="A &amp; B" alias="cat"/>'
        '<Choice value="Bird" alias="owl"/></Choices></View>'
    )
    measured(store, {"cat": some(0.5), "owl": some(0.75)})
    store.change(3, label_config=config, config_read=config, control_read="animal", task="classification")
    for search in ("a &", "CAT"):
        found = client.get("/api/projects/3/classes", params={"search": search}).json()
        assert [(each["key"], each["name"]) for each in found["classes"]] == [("cat", "A & B")]
    curve = client.get("/api/projects/3/classes/curve", params={"class": "cat"}).json()
    assert (curve["key"], curve["name"], len(curve["points"])) == ("cat", "A & B", 1)
    text = client.page("/projects/3", params={"class": "owl"}).text
    assert '<strong class="long">Bird</strong>' in text
    assert '?class=cat#curve">A &amp; B</a>' in text


def test_one_of_ten_thousand_classes_is_found(client: Client, store: Store) -> None:
    measured(store, *({f"class {k}": some(0.5 + number / 10) for k in range(10_000)} for number in range(3)))
    found = client.get("/api/projects/3/classes", params={"search": "class 99"}).json()
    assert (found["total"], len(found["classes"])) == (111, FOUND_SHOWN)
    points = client.get("/api/projects/3/classes/curve", params={"class": "class 9999"}).json()["points"]
    assert [each["value"] for each in points] == [0.5, 0.6, 0.7]


def test_measures_of_an_earlier_version_have_no_number_of_picks(client: Client, store: Store) -> None:
    measured(store, {"cat": some(0.5, None)})
    assert client.get("/api/projects/3/classes/curve", params={"class": "cat"}).json()["points"][0]["picks"] is None
    assert "say little" not in client.page("/projects/3", params={"class": "cat"}).text


def test_unknown_project_has_no_classes(client: Client) -> None:
    assert client.get("/api/projects/9/classes").status_code == 404
    assert client.get("/api/projects/9/classes/curve", params={"class": "cat"}).status_code == 404
    assert client.get("/api/projects/9/classes/curve").status_code in (400, 404)
