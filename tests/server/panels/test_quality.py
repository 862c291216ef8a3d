"""The quality of a project, as JSON and as a page."""

import re

import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.server.panels.quality import kind_of
from pt4al_backend.state.annotations import Annotated
from pt4al_backend.state.schema import AnswerKind
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support.filled import PROJECT, fill
from tests.support.images import CLASSES
from tests.support.judged import COPIES, GIVEN, MISTAKEN, PAIR, TWIN, WRONG, fill_judged
from tests.support.web_client import Client

ADDRESS = f"/api/projects/{PROJECT}/quality"
PAGE = f"/projects/{PROJECT}/quality"
HOSTILE = "<script>alert(1)</script>"
TRUTH = CLASSES[WRONG % 3]


def test_planted_wrong_label_stands_first_beside_the_model_s_answer(
    client: Client, store: Store, settings: ServerSettings
) -> None:
    fill_judged(store, settings)
    suspects = client.get(ADDRESS).json()["suspects"]
    first = suspects["tasks"][0]
    assert (first["task"], first["judged"], first["answer"], first["is_changed"]) == (WRONG, GIVEN, TRUTH, False)
    assert first["address"] == f"http://label-studio.example:8080/projects/{PROJECT}/data?task={WRONG}"
    assert suspects["of"] == 91
    store.put_answers(PROJECT, {WRONG: StoredAnswer(AnswerKind.LABEL, TRUTH)})
    assert client.get(ADDRESS).json()["suspects"]["tasks"][0]["is_changed"]
    assert f"✓ now {TRUTH}" in client.page(PAGE).text


def test_duplicates_whose_labels_contradict_come_first(client: Client, store: Store, settings: ServerSettings) -> None:
    fill_judged(store, settings)
    found = client.get(ADDRESS).json()["duplicates"]
    groups = [[each["task"] for each in group["tasks"]] for group in found["groups"]]
    assert groups[0] == [WRONG, TWIN]
    assert {tuple(group) for group in groups[1:]} == {PAIR, COPIES}
    assert [group["contradicts"] for group in found["groups"]] == [True, False, False]
    assert found["contradicting"] == 1
    assert "labels contradict each other" in client.page(PAGE).text


def test_confusion_counts_control_picks_and_each_cell_opens_its_tasks(
    client: Client, store: Store, settings: ServerSettings
) -> None:
    fill_judged(store, settings)
    found = client.get(ADDRESS).json()["control"]
    red, green = ({"value": name, "name": name} for name in ("red", "green"))
    assert found["classes"] == [red, green]
    assert found["table"] == [[0, 0], [len(MISTAKEN), 30 - len(MISTAKEN)]]
    assert found["agreement"]["value"] == pytest.approx(0.9)
    assert found["mistakes"] == [{"label": green, "answer": red, "tasks": len(MISTAKEN)}]
    text = client.page(PAGE).text
    links = re.findall(r'href="(/projects/\d+/quality/tasks\?[^"]+)"', text)
    (link,) = {each for each in links if "by=control" in each and "answer=red" in each}
    page = client.page(link.replace("&amp;", "&")).text
    assert [int(task) for task in re.findall(r"Image of task (\d+)", page)] == list(MISTAKEN)
    cell = client.get(f"{ADDRESS}/tasks", params={"by": "control", "label": "green", "answer": "red"}).json()
    assert [each["task"] for each in cell["tasks"]] == list(MISTAKEN)


def test_annotators_are_compared_with_the_model_on_control_picks(client: Client, store: Store, settings: ServerSettings) -> None:
    fill_judged(store, settings)
    by = {task: frozenset({Annotated(task, 1 if task < 40 else 2, 1, False)}) for task in range(1, 91)}
    by[7] = frozenset({Annotated(7, 1, 1, False), Annotated(700, 2, 1, False)})
    store.put_annotations(PROJECT, by)
    found = {each["annotator"]: each for each in client.get(ADDRESS).json()["annotators"]}
    assert {who: each["total"] for who, each in found.items()} == {1: 12, 2: 17}
    assert found[1]["agreement"]["value"] == pytest.approx(9 / 12)
    assert found[2]["agreement"]["value"] == 1.0
    assert "User 2" in client.page(PAGE).text


def test_balance_has_labels_and_the_share_of_the_pool(client: Client, store: Store, settings: ServerSettings) -> None:
    fill_judged(store, settings)
    balance = {each["name"]: each for each in client.get(ADDRESS).json()["balance"]}
    assert {name: each["labels"] for name, each in balance.items()} == {"red": 31, "green": 31, "blue": 29}
    assert balance["green"]["control"] == 31
    assert balance["green"]["share"]["value"] == 1.0
    assert balance["red"]["share"]["high"] < 0.2


def test_tasks_set_aside_are_sorted_by_reason_with_what_to_do(client: Client, store: Store, settings: ServerSettings) -> None:
    fill(store, settings)
    reasons = [f"The image cat-{number}.png is damaged. Upload it again." for number in (1, 2)] + [HOSTILE]
    store.set_tasks(PROJECT, {"id": [101, 102, 103], "problem": reasons})
    aside = client.get(ADDRESS).json()["aside"]
    assert aside["total"] == 3
    assert [(each["tasks"], each["first"]) for each in aside["reasons"]] == [(2, [101, 102]), (1, [103])]
    text = client.page(PAGE).text
    assert "Upload it again." in text
    assert HOSTILE not in text


def test_page_before_anything_was_computed_says_so(client: Client, store: Store, settings: ServerSettings) -> None:
    fill(store, settings)
    answer = client.get(ADDRESS).json()
    assert answer["at"] is None
    assert "Not computed yet" in client.page(PAGE).text


def test_class_names_are_text(client: Client, store: Store, settings: ServerSettings) -> None:
    config = (
        '<View><Image name="image" value="$image"/><Choices name="colour" toName="image">'
        '<Choice value="&lt;script&gt;alert(1)&lt;/script&gt;"/><Choice value="green"/></Choices></View>'
    )

    def hostile(task: int) -> StoredAnswer:
        return StoredAnswer(AnswerKind.LABEL, HOSTILE if task % 2 else "green")

    fill_judged(store, settings, answers=hostile, config=config)
    assert HOSTILE in str(client.get(ADDRESS).json())
    text = client.page(PAGE).text
    assert "&lt;script&gt;alert(1)" in text
    assert HOSTILE not in text


def test_classes_are_named_as_annotators_read_them_and_cells_tell_namesakes_apart(
    client: Client, store: Store, settings: ServerSettings
) -> None:
    config = (
        '<View><Image name="image" value="$image"/><Choices name="colour" toName="image"><Choice value="A &amp; B" alias="red"/>'
        '<Choice value="Kind" alias="green"/><Choice value="Kind" alias="blue"/></Choices></View>'
    )
    fill_judged(store, settings, config=config)
    found = client.get(ADDRESS).json()
    assert [each["name"] for each in found["folds"]["classes"]] == ["A & B", "Kind (green)", "Kind (blue)"]
    assert (found["suspects"]["tasks"][0]["judged"], found["suspects"]["tasks"][0]["answer"]) == ("A & B", "Kind (blue)")
    assert {each["name"] for each in found["balance"]} == {"A & B", "Kind (green)", "Kind (blue)"}
    text = client.page(PAGE).text
    assert "A &amp; B</th>" in text
    (link,) = set(re.findall(r'href="(/projects/\d+/quality/tasks\?by=control&amp;label=green&amp;answer=red)"', text))
    page = client.page(link.replace("&amp;", "&")).text
    assert "Label Kind (green), answer A &amp; B" in page
    assert [int(task) for task in re.findall(r"Image of task (\d+)", page)] == list(MISTAKEN)


@pytest.mark.parametrize("query", ["page=0", "page=x", "groups=-1"])
def test_wrong_query_is_refused(client: Client, store: Store, settings: ServerSettings, query: str) -> None:
    fill(store, settings)
    assert client.get(f"{ADDRESS}?{query}").status_code == 400


@pytest.mark.parametrize("label", ["no class", "", HOSTILE])
def test_cell_that_is_none_is_empty(client: Client, store: Store, settings: ServerSettings, label: str) -> None:
    fill_judged(store, settings)
    wanted = {"by": "folds", "label": label, "answer": "red"}
    assert client.get(f"{ADDRESS}/tasks", params=wanted).json()["tasks"] == []
    assert client.get(f"{PAGE}/tasks", params=wanted, headers={"Accept": "text/html"}).status_code == 200


def test_page_beyond_the_last_is_empty(client: Client, store: Store, settings: ServerSettings) -> None:
    fill_judged(store, settings)
    answer = client.get(f"{ADDRESS}?page=1000000&groups=1000000").json()
    assert answer["suspects"]["tasks"] == []
    assert answer["duplicates"]["groups"] == []


def test_unknown_project_has_no_quality(client: Client) -> None:
    assert client.get("/api/projects/99/quality").status_code == 404
    assert client.page("/projects/99/quality").status_code == 404


def test_reasons_are_alike_but_for_names_and_numbers() -> None:
    assert kind_of("The image a/b-1.png has 3 x 4 pixels.") == kind_of("The image 'x.jpg' has 10 x 20 pixels.")
    assert kind_of("The image a.png is damaged.") != kind_of("The image a.png is missing.")
