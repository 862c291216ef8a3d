"""Next in the queue."""

from typing import Any

import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.insights import nearest
from pt4al_backend.engine.insights.background import Insights
from pt4al_backend.label_sets import to_text
from pt4al_backend.server.panels.next_up import PER_PAGE
from pt4al_backend.state.schema import AnswerKind, Pick, Round, RoundState
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support.filled import PROJECT, fill
from tests.support.images import class_of
from tests.support.judged import fill_judged
from tests.support.web_client import Client

ADDRESS = f"/api/projects/{PROJECT}/next"
PAGE = f"/projects/{PROJECT}/next"
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def shown(store: Store, settings: ServerSettings) -> Store:
    fill(store, settings)
    return store


def of(store: Store, *changes: dict[str, Any]) -> None:
    """Opens round 5 with these picks in place of what was open."""
    same = {"project_id": PROJECT, "round": 5, "kind": "query", "score": 0.5, "label": ""}
    picks = [Pick(**{**same, "position": place, **change}) for place, change in enumerate(changes)]
    store.open_round(PROJECT, Round(project_id=PROJECT, number=5, state=RoundState.OPEN), picks)


def test_tasks_come_in_the_order_served_with_their_reasons(client: Client, shown: Store) -> None:
    found = client.get(ADDRESS).json()
    assert [each["task"] for each in found["tasks"]] == list(range(91, 100))
    assert [each["kind"] for each in found["tasks"]] == ["control"] * 2 + ["query"] * 4 + ["reserve"] * 3
    assert [each["answer"] for each in found["tasks"]] == ["label"] + ["none"] * 8
    assert found["tasks"][0]["label"] == class_of(91)
    assert found["tasks"][2]["address"] == f"http://label-studio.example:8080/projects/{PROJECT}/data?task=93"
    assert (found["round"], found["total"], found["pages"], found["batches"]) == (4, 9, 1, {"2": 9})


def test_model_s_answer_is_shown_but_not_of_control_picks(client: Client, shown: Store) -> None:
    found = client.get(ADDRESS).json()
    query = found["tasks"][2]
    assert (query["predicted"], query["confidence"]) == (class_of(93), 0.52)
    assert {(each["predicted"], each["confidence"]) for each in found["tasks"][:2]} == {(None, None)}
    assert sum(each["tasks"] for each in found["classes"]) == 7


def test_nearest_labelled_neighbour_is_shown_with_the_label_it_has_now_but_not_of_control_picks(
    client: Client, store: Store, settings: ServerSettings
) -> None:
    fill_judged(store, settings)
    Insights(settings, store, [nearest.refresh]).refresh(PROJECT)
    found = client.get(ADDRESS).json()
    assert found["without_neighbours"] == ""
    tasks = {each["task"]: each["neighbour"] for each in found["tasks"]}
    assert [task for task, neighbour in tasks.items() if neighbour is None] == [91, 92]  # the control picks
    first = tasks[93]
    assert first["label"] == class_of(first["task"])
    assert first["similarity"] > 0
    assert first["address"] == f"http://label-studio.example:8080/projects/{PROJECT}/data?task={first['task']}"
    text = client.page(PAGE).text
    assert f'href="{first["address"]}"' in text
    assert f'src="/api/projects/{PROJECT}/tasks/{first["task"]}/thumbnail"' in text
    store.put_answers(PROJECT, {first["task"]: StoredAnswer(AnswerKind.LABEL, HOSTILE)})
    assert client.get(ADDRESS).json()["tasks"][2]["neighbour"]["label"] == HOSTILE
    assert HOSTILE not in client.page(PAGE).text
    store.put_answers(PROJECT, {first["task"]: StoredAnswer(AnswerKind.SKIP)})
    assert client.get(ADDRESS).json()["tasks"][2]["neighbour"] is None


def test_queue_says_why_no_neighbours_are_shown(client: Client, shown: Store, settings: ServerSettings) -> None:
    assert "in the background" in client.get(ADDRESS).json()["without_neighbours"]
    Insights(settings, shown, [nearest.refresh]).refresh(PROJECT)
    assert "not computed yet" in client.get(ADDRESS).json()["without_neighbours"]
    assert "No nearest labelled neighbours are shown." in client.page(PAGE).text


def test_queue_is_filtered_by_batch_and_class(client: Client, shown: Store) -> None:
    red = client.get(ADDRESS, params={"class": "red"}).json()
    assert [each["task"] for each in red["tasks"]] == [93, 96, 99]
    assert client.get(ADDRESS, params={"batch": 1}).json()["tasks"] == []
    assert client.get(ADDRESS, params={"batch": 2, "class": "red"}).json()["total"] == 3
    assert "No task of the queue is like that" in client.page(f"{PAGE}?batch=1").text
    assert client.get(ADDRESS, params={"batch": "b"}).status_code == 400


def test_long_queue_is_shown_in_parts(client: Client, shown: Store) -> None:
    of(shown, *({"task_id": number} for number in range(1, 101)))
    first, second = (client.get(ADDRESS, params={"page": page}).json() for page in (1, 2))
    assert [each["task"] for each in first["tasks"] + second["tasks"]] == list(range(1, 101))
    assert (len(first["tasks"]), first["pages"]) == (PER_PAGE, 2)
    text = client.page(PAGE).text
    assert 'rel="next" href="?page=2"' in text
    assert client.get(ADDRESS, params={"page": 3}).json()["tasks"] == []


def test_foreign_text_stays_text(client: Client, shown: Store) -> None:
    of(shown, {"task_id": 1, "label": HOSTILE, "confidence": 0.5}, {"task_id": 2})
    shown.put_answers(PROJECT, {2: StoredAnswer(AnswerKind.LABEL, HOSTILE)})
    text = client.page(PAGE).text
    assert HOSTILE not in text
    assert client.get(ADDRESS, params={"class": HOSTILE}).json()["total"] == 1


@pytest.mark.parametrize("hostname", ["", "javascript:alert(1)", "http://", "http://user:secret@host", "http://[", "ftp://host"])
def test_link_is_left_out_where_label_studio_s_address_is_none(client: Client, shown: Store, hostname: str) -> None:
    shown.change(PROJECT, hostname=hostname)
    found = client.get(ADDRESS).json()
    assert {each["address"] for each in found["tasks"]} == {None}
    assert "in Label Studio" not in client.page(PAGE).text


def test_several_choices_are_named(client: Client, shown: Store) -> None:
    config = (
        '<View><Image name="image" value="$image"/><Choices name="colour" toName="image" choice="multiple">'
        '<Choice value="red"/><Choice value="blue"/></Choices></View>'
    )
    shown.change(PROJECT, config_read=config, task="multilabel")
    both, none = to_text(["red", "blue"], ["red", "blue"]), to_text([], ["red"])
    of(shown, {"task_id": 1, "label": both}, {"task_id": 2, "label": none}, {"task_id": 3, "label": "not a list"})
    found = client.get(ADDRESS).json()
    assert [each["predicted"] for each in found["tasks"]] == ["red, blue", "none of the classes", "not a list"]


def test_project_without_a_round_has_an_empty_queue(client: Client, shown: Store) -> None:
    shown.connect(8)
    assert client.get("/api/projects/8/next").json()["tasks"] == []
    assert "The first round opens as soon as there are tasks" in client.page("/projects/8/next").text
    assert client.get("/api/projects/9/next").status_code == 404


def test_task_without_a_picture_says_so(client: Client, shown: Store) -> None:
    shown.set_tasks(PROJECT, {"id": [93, 94], "row": [None, None], "problem": ["", "Gone."]})
    found = client.get(ADDRESS).json()["tasks"]
    assert [(each["has_picture"], each["is_aside"]) for each in found[1:4]] == [(True, False), (False, False), (False, True)]
    text = client.page(PAGE).text
    assert "no image yet" in text
    assert "set aside" in text
