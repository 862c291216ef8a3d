"""What people can do to a project, and the log of it."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.state.schema import AnswerKind, Project, Round, RoundState
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support.filled import PROJECT, fill
from tests.support.stub_server import Reply, Request, stub_server
from tests.support.web_client import Client, RecordingQueue

ROUND = 4
HOSTILE = '<script>alert("x")</script>'
ACTIONS: dict[str, dict[str, Any]] = {
    "train": {},
    "pause": {},
    "resume": {},
    "put-back": {},
    "close-round": {"round": ROUND},
    "control-picks": {"round": ROUND, "total": 5},
    "label-next": {"tasks": [100]},
    "withdraw-choices": {"tasks": [100]},
}
#: Those that are done in Label Studio at once.
IN_LABEL_STUDIO: dict[str, dict[str, Any]] = {
    "settings": {"read": "", "changes": {"rounds": "5"}},
    "map/view": {"tasks": [100]},
}


@pytest.fixture
def shown(store: Store, settings: ServerSettings) -> Store:
    fill(store, settings)
    return store


def act(client: Client, name: str, project: int = PROJECT, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    return client.post(f"/api/projects/{project}/{name}", json=body, headers=headers)


def log(client: Client) -> list[dict[str, Any]]:
    return list(client.get(f"/api/projects/{PROJECT}/actions").json())


def row(store: Store) -> Project:
    project = store.project(PROJECT)
    assert project is not None
    return project


def test_tasks_are_chosen_in_their_order_and_the_rest_is_reported(client: Client, shown: Store, queue: RecordingQueue) -> None:
    shown.set_tasks(PROJECT, {"id": [103], "problem": ["The image file is empty."]})
    shown.put_answers(PROJECT, {104: StoredAnswer(AnswerKind.SKIP)})
    answer = act(client, "label-next", tasks=[105, 1, 101, 103, 104, 5000, 101]).json()
    assert answer["left_out"] == [
        {"task": 1, "reason": "it is labelled"},
        {"task": 103, "reason": "it is set aside"},
        {"task": 104, "reason": "it was skipped"},
        {"task": 5000, "reason": "there is no such task"},
    ]
    assert (answer["tasks"], answer["message"]) == (2, "2 tasks are served next.")
    assert shown.choices(PROJECT).tolist() == [105, 101]
    assert queue.requests == [PROJECT]


def test_nothing_is_noted_where_no_task_can_be_labelled(client: Client, shown: Store, queue: RecordingQueue) -> None:
    assert act(client, "label-next", tasks=[1, 5000]).json()["message"] == "None of these tasks can be labelled."
    assert (log(client), queue.requests) == ([], [])


def test_choices_are_withdrawn_and_the_log_says_by_whom(client: Client, shown: Store, queue: RecordingQueue) -> None:
    act(client, "label-next", tasks=[100, 101, 102, 103])
    assert act(client, "withdraw-choices", tasks=[101, 1, 5000]).json()["message"].startswith("1 choice is withdrawn.")
    assert shown.choices(PROJECT).tolist() == [100, 102, 103]
    assert act(client, "withdraw-choices").json()["tasks"] == 3
    assert shown.choices(PROJECT).tolist() == []
    assert [(each["what"], each["detail"]) for each in log(client)[:2]] == [
        ("withdraw choices", "100, 102, 103"),
        ("withdraw choices", "101"),
    ]
    assert queue.requests == [PROJECT] * 3
    assert act(client, "withdraw-choices").json()["message"] == "None of these tasks waits because a person chose it."
    assert (len(log(client)), len(queue.requests)) == (3, 3)


@pytest.mark.parametrize("tasks", [[], "5", ["5"], [0], [2**70], [1.5], list(range(1, 1002)), None])
def test_lists_that_are_none_are_refused(client: Client, shown: Store, tasks: object) -> None:
    answer = act(client, "label-next", tasks=tasks)
    assert answer.status_code == 400
    assert "/openapi.json" in answer.json()["remedy"]


def test_project_is_paused_and_resumed(client: Client, shown: Store, queue: RecordingQueue) -> None:
    assert "Answers are still recorded" in act(client, "pause").json()["message"]
    paused_at = client.get(f"/api/projects/{PROJECT}").json()["paused_at"]
    assert paused_at == row(shown).paused_at
    assert act(client, "pause").json()["message"] == "The project is paused already."
    assert row(shown).paused_at == paused_at
    assert "that follows when it is resumed" in act(client, "label-next", tasks=[100]).json()["message"]
    assert act(client, "resume").is_success
    assert row(shown).paused_at is None
    assert act(client, "resume").json()["message"] == "The project is not paused."
    assert [each["what"] for each in log(client)] == ["resume", "label next", "pause"]


def test_every_page_says_that_the_project_is_paused(client: Client, shown: Store) -> None:
    act(client, "pause")
    for page in ("", "/next", "/act"):
        assert "Paused since" in client.page(f"/projects/{PROJECT}{page}").text


def test_round_is_closed_by_its_number(client: Client, shown: Store) -> None:
    assert act(client, "close-round", round=ROUND - 1).json()["message"] == "Round 3 is not open any more."
    assert row(shown).round_to_close == 0
    for _ in (1, 2):
        assert "Round 4 will be closed" in act(client, "close-round", round=ROUND).json()["message"]
    assert row(shown).round_to_close == ROUND
    assert len(log(client)) == 1


def test_round_without_a_query_is_not_closed(client: Client, shown: Store) -> None:
    shown.open_round(PROJECT, Round(project_id=PROJECT, number=5, state=RoundState.STARTING), [])
    for name, body in (("close-round", {}), ("control-picks", {"total": 5})):
        answer = act(client, name, round=5, **body)
        assert answer.status_code == 409
        assert "as soon as the images are ranked" in answer.json()["remedy"]
        assert act(client, name, round=99, **body).status_code == 409


def test_control_picks_are_wanted_up_to_a_number(client: Client, shown: Store) -> None:
    assert act(client, "control-picks", round=ROUND, total=2).json()["message"] == "Round 4 has 2 control picks already."
    for total in (7, 7, 5):
        assert act(client, "control-picks", round=ROUND, total=total).is_success
    current = shown.round(PROJECT, ROUND)
    assert current is not None
    assert current.controls_wanted == 7
    assert shown.pick_progress(PROJECT, ROUND)[PickKind.CONTROL].picks == 2  # a worker adds them


def test_training_is_requested(client: Client, shown: Store, queue: RecordingQueue) -> None:
    assert act(client, "train").is_success
    assert (row(shown).trainings_requested, set(queue.requests)) == (1, {PROJECT})


def test_what_was_there_before_is_put_back_once(client: Client, shown: Store) -> None:
    assert "could be put back" in act(client, "put-back").json()["message"]
    assert row(shown).paused_at is None
    shown.change(PROJECT, chosen_before={"sampling": "Uniform sampling", "model_version": "vendor-1"})
    for _ in (1, 2):
        assert "paused" in act(client, "put-back").json()["message"]
    assert row(shown).to_put_back
    assert row(shown).paused_at is not None
    assert len(log(client)) == 1


@pytest.mark.parametrize("name", ACTIONS)
def test_posts_of_other_sites_do_nothing(client: Client, shown: Store, queue: RecordingQueue, name: str) -> None:
    for headers in ({"Origin": "https://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert act(client, name, headers=headers, **ACTIONS[name]).status_code == 403
    assert client.get(f"/api/projects/{PROJECT}/{name}").status_code in (404, 405)
    assert (log(client), queue.requests) == ([], [])


@pytest.mark.parametrize(("name", "body"), (ACTIONS | IN_LABEL_STUDIO).items())
def test_project_that_is_not_connected_is_left_alone(client: Client, shown: Store, name: str, body: dict[str, Any]) -> None:
    assert act(client, name, project=9, **body).status_code == 404
    shown.let_go(PROJECT, let_go_at=1.0)
    answer = act(client, name, **body)
    assert answer.status_code == 409
    assert "Settings > Model" in answer.json()["remedy"]
    assert log(client) == []
    assert "Label Studio does not list this backend" in client.page(f"/projects/{PROJECT}/act").text


def test_log_says_who_and_when(connect_client: Callable[..., Client], shown: Store) -> None:
    open_to_all = connect_client()
    act(open_to_all, "train")
    act(open_to_all, "pause", headers={"Sec-Fetch-Site": "same-origin"})
    forged = {"Authorization": "Basic Ym9zczp4"}  # of nobody's: there is no password to check
    act(open_to_all, "resume", headers=forged)
    named = connect_client(auth=("lead", "secret"), basic_auth_user="lead", basic_auth_pass="secret")
    act(named, "label-next", tasks=[100, 101])
    found = log(named)
    assert [each["who"] for each in found] == ["lead", "a program", "someone at the page", "a program"]
    assert (found[0]["what"], found[0]["detail"]) == ("label next", "100, 101")
    assert found[0]["at"] >= found[-1]["at"] > 1_700_000_000
    page = " ".join(named.page(f"/projects/{PROJECT}/act").text.split())
    for words in ("<td>lead</td><td>chose tasks to be labelled next</td><td>100, 101</td>", "someone at the page"):
        assert words in page


def test_log_has_what_is_shown_to_everybody_in_label_studio(connect_client: Callable[..., Client], shown: Store) -> None:
    def label_studio(request: Request) -> Reply:
        tab = {"id": 3, "data": {"title": "PT4AL map"}}
        return Reply(200, [tab] if request.method == "GET" else tab)

    with stub_server(label_studio) as (url, _):
        client = connect_client(label_studio_url=url, label_studio_api_key="f" * 40)
        assert act(client, "map/view", tasks=[100, 101]).is_success
    assert [(each["what"], each["detail"]) for each in log(client)] == [("show tasks", "2 in the tab 'PT4AL map'")]
    assert "showed tasks in Label Studio" in client.page(f"/projects/{PROJECT}/act").text


def test_log_of_a_forgotten_project_is_gone(client: Client, shown: Store) -> None:
    act(client, "train")
    act(client, "label-next", tasks=[100])
    assert client.post(f"/api/projects/{PROJECT}/forget").is_success
    assert client.get(f"/api/projects/{PROJECT}/actions").status_code == 404
    shown.connect(PROJECT, label_config="")
    assert log(client) == []
    assert shown.choices(PROJECT).tolist() == []


def test_page_offers_what_can_be_done(client: Client, shown: Store) -> None:
    shown.change(PROJECT, title=HOSTILE)
    page = client.page(f"/projects/{PROJECT}/act").text
    for words in ("Start training", "Close round 4", "Pause the project", "Label these next", "Forget this project"):
        assert words in page
    assert HOSTILE not in page
    shown.open_round(PROJECT, Round(project_id=PROJECT, number=5, state=RoundState.STARTING), [])
    assert client.page(f"/projects/{PROJECT}/act").text.count("The round has no query yet") == 2
