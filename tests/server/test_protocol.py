"""The requests of Label Studio, and their answers."""

import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from typing import Any

import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.state.store import Store
from tests.support.bodies import CONFIG, TOKEN, event, predict, setup
from tests.support.rounds import PROJECT, VERSION, add_tasks, open_round, pick
from tests.support.web_client import Client, RecordingQueue

LABEL_STUDIO = {"User-Agent": "heartex/1.23.2"}


def test_health_is_up(client: Client) -> None:
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["status"], answer.json()["model_class"]) == (200, "UP", "PT4AL")


# /setup


def test_setup_registers_the_project_and_requests_a_look(client: Client, store: Store, queue: RecordingQueue) -> None:
    answer = client.post("/setup", json=setup(extra_params={"rounds": 5}))
    assert (answer.status_code, answer.json()) == (200, {"model_version": ""})
    project = store.project(PROJECT)
    assert project is not None
    assert (project.label_config, project.params, project.access_token) == (CONFIG, {"rounds": 5}, TOKEN)
    assert project.hostname == "http://label-studio.example:8080"
    assert queue.requests == [PROJECT]


def test_equal_setup_writes_and_requests_nothing(client: Client, settings: ServerSettings, queue: RecordingQueue) -> None:
    client.post("/setup", json=setup(extra_params={"rounds": 5}))
    with closing(sqlite3.connect(settings.data_dir / "state.sqlite3")) as observer:
        before = observer.execute("PRAGMA data_version").fetchone()
        for _ in range(3):
            assert client.post("/setup", json=setup(extra_params={"rounds": 5})).status_code == 200
        assert observer.execute("PRAGMA data_version").fetchone() == before
        client.post("/setup", json=setup(extra_params={"rounds": 6}))
        assert observer.execute("PRAGMA data_version").fetchone() != before
    assert len(queue.requests) == 2


def test_setup_of_a_known_project_answers_with_its_version(client: Client, store: Store) -> None:
    open_round(store, pick(1))
    assert client.post("/setup", json=setup()).json() == {"model_version": VERSION}
    project = store.project(PROJECT)
    assert project is not None
    assert (project.round, project.served_version) == (1, VERSION)


def test_extra_params_are_read_from_text(client: Client, store: Store) -> None:
    client.post("/setup", json=setup(extra_params='{"rounds": 4}'))
    project = store.project(PROJECT)
    assert project is not None
    assert project.params == {"rounds": 4}


def test_cleared_extra_params_bring_back_the_defaults(client: Client, store: Store) -> None:
    client.post("/setup", json=setup(extra_params={"rounds": 4}))
    client.post("/setup", json=setup(extra_params=None))
    project = store.project(PROJECT)
    assert project is not None
    assert project.params == {}


def test_token_is_not_stored_beside_the_admin_s(connect_client: Callable[..., Client], store: Store) -> None:
    client = connect_client(label_studio_url="http://ls.example", label_studio_api_key="the-admins")
    client.post("/setup", json=setup())
    project = store.project(PROJECT)
    assert project is not None
    assert project.access_token == ""


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"extra_params": {"k": 1}}, ["'k'", "query_size", "Extra params"]),
    ({"extra_params": {"rounds": 0}}, ["'rounds'", "0", "greater than or equal to 1"]),
    ({"extra_params": "{"}, ["JSON"]),
    ({"extra_params": "[" * 5000}, []),
    ({"schema": "<View/>"}, ["no image", "Labeling Interface"]),
    ({"schema": CONFIG.replace("toName", 'perRegion="true" toName')}, ["belong to each region"]),
    ({"schema": "no xml"}, ["XML"]),
    ({"schema": None}, ["schema"]),
    ({"hostname": 7}, ["hostname"]),
    ({"hostname": "http://a\x00b"}, ["hostname"]),
    ({"extra_params": [1]}, ["extra_params"]),
]


@pytest.mark.parametrize(("fields", "words"), REFUSED)
def test_refused_setup_names_the_reason_and_changes_nothing(
    client: Client, store: Store, queue: RecordingQueue, fields: dict[str, Any], words: list[str]
) -> None:
    assert client.post("/setup", json=setup("4.1795241480", **fields)).status_code == 400
    assert store.project(4) is None
    client.post("/setup", json=setup(extra_params={"rounds": 5}))
    answer = client.post("/setup", json=setup(**fields))
    assert answer.status_code == 400
    for word in words:
        assert word in answer.json()["error"] + answer.json()["remedy"]
    project = store.project(PROJECT)
    assert project is not None
    assert (project.label_config, project.params) == (CONFIG, {"rounds": 5})
    assert queue.requests == [PROJECT]


def test_label_studio_is_redirected_to_the_reason(client: Client) -> None:
    led = client.post("/setup", json=setup(extra_params={"k": 1}), headers=LABEL_STUDIO)
    assert led.status_code == 303
    answer = client.get(str(led.url.join(led.headers["location"])))
    assert answer.status_code == 400
    assert "Unknown+setting+'k'" in str(answer.url)
    assert "Settings+/+Model" in str(answer.url)


@pytest.mark.parametrize(
    "project", ["", "x", "3; drop table projects", "-3", "0", "3e2", "²", None, 3.5, True, -3, 2**63, "9" * 30, [], {}]
)
def test_bad_project_id_is_refused(client: Client, store: Store, project: object) -> None:
    for path in ("/setup", "/predict", "/train", "/versions"):
        body = {**setup(), "tasks": [], "project": project}
        answer = client.post(path, json=body)
        assert answer.status_code == 400, path
        assert "not a project's id" in answer.json()["error"]
    assert store.project_ids() == []


# /webhook and /train


@pytest.fixture
def connected(client: Client, queue: RecordingQueue) -> Client:
    client.post("/setup", json=setup())
    queue.requests.clear()
    return client


@pytest.mark.parametrize(
    "action", ["TASKS_CREATED", "ANNOTATION_CREATED", "ANNOTATIONS_DELETED", "PROJECT_UPDATED", "SOMETHING_NEW"]
)
def test_every_event_requests_a_look(connected: Client, queue: RecordingQueue, action: str) -> None:
    answer = connected.post("/webhook", json=event(action))
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert queue.requests == [PROJECT]


def test_start_training_is_noted_and_requests_a_look(connected: Client, queue: RecordingQueue, store: Store) -> None:
    connected.post("/webhook", json=event("START_TRAINING"))
    for project in (3, "3", "3.1795241480", {"id": 3}):
        assert connected.post("/train", json={"project": project}).status_code == 200
    assert queue.requests == [PROJECT] * 5
    found = store.project(PROJECT)
    assert found is not None
    assert found.trainings_requested == 5


def test_doubled_event_changes_nothing(connected: Client, queue: RecordingQueue, store: Store) -> None:
    before = vars(store.project(PROJECT))
    for _ in range(2):
        assert connected.post("/webhook", json=event()).status_code == 200
    after = vars(store.project(PROJECT))
    assert {key: value for key, value in after.items() if key != "_sa_instance_state"} == {
        key: value for key, value in before.items() if key != "_sa_instance_state"
    }
    assert queue.requests == [PROJECT] * 2


def test_unknown_project_is_named(connected: Client, queue: RecordingQueue) -> None:
    for path, body in (("/webhook", event(project=77)), ("/train", {"project": 77}), ("/versions", {"project": "77.1"})):
        answer = connected.post(path, json=body)
        assert answer.status_code == 404
        assert "Project 77 is not connected" in answer.json()["error"]
        assert "Settings > Model" in answer.json()["remedy"]
    assert queue.requests == []


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"[]", "object"),
        (b"null", "object"),
        (b"{}", "action"),
        (b'{"action": "ANNOTATION_CREATED"}', "project"),
        (b'{"action": 7, "project": {"id": 3}}', "action"),
        (b'{"action": NaN, "project": {"id": 3}}', "action"),
        (b'{"action": "ANNOTATION_CREATED", "project": 3}', "project"),
        (b'{"action": "ANNOTATION_CREATED", "project": {}}', "project.id"),
        (b'{"action": "ANNOTATION_CREATED", "project": {"id": "3"}}', "project.id"),
        (b'{"action": "ANNOTATION_CREATED", "project": {"id": 3.0}}', "project.id"),
        (b'{"action": "ANNOTATION_CREATED", "project": {"id": NaN}}', "project.id"),
        (b'{"action": "ANNOTATION_CREATED", "project": {"id": true}}', "project.id"),
        (b'{"action": "ANNOTATION_CREATED", "project": {"id": 9223372036854775808}}', "project.id"),
        (b'{"action": "a", "project": {"id": 3}, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "recursion"),
        (b"[" * 1_000_000, "recursion"),
    ],
)
def test_malformed_event_is_refused_with_the_key(connected: Client, queue: RecordingQueue, body: bytes, word: str) -> None:
    answer = connected.post("/webhook", content=body)
    assert answer.status_code == 400
    assert word in answer.json()["error"]
    assert queue.requests == []


def test_event_of_10_mb_is_accepted(connected: Client, queue: RecordingQueue) -> None:
    body = json.dumps(event("TASKS_CREATED", tasks=[{"id": i, "data": {"image": "x" * 500}} for i in range(20_000)]))
    assert len(body) > 10_000_000
    assert connected.post("/webhook", content=body).status_code == 200
    assert queue.requests == [PROJECT]


def test_body_above_the_limit_is_refused_unread(
    connect_client: Callable[..., Client], queue: RecordingQueue, store: Store
) -> None:
    open_round(store)
    client = connect_client(webhook_max_bytes=1000)
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 1_000_000:
            sent += 100
            yield b" " * 100

    for path in ("/webhook", "/setup", "/predict", "/train", "/versions"):
        sent = 0
        answers = [client.post(path, content=endless()), client.post(path, content=b" " * 1001)]
        assert [answer.status_code for answer in answers] == [413, 413], path
        assert "1,000 bytes" in answers[0].json()["error"]
        assert sent < 2000
    assert queue.requests == []


# /versions


def test_versions_of_one_project_and_of_all(client: Client, store: Store) -> None:
    open_round(store, pick(1))
    assert client.post("/versions", json={"project": "3.1795241480"}).json() == {"versions": [VERSION]}
    assert client.get("/versions").json() == {"versions": [VERSION]}


# /predict


def test_predict_answers_every_task_in_order(client: Client, store: Store) -> None:
    open_round(store, pick(1), pick(2, "control", "a", 0.9), pick(3, "query", "b", 0.4))
    answer = client.post("/predict", json=predict(3, 9, 2, 1, 3))
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["score"] for result in results] == [0.003, 1.0, 0.002, 0.001, 0.003]
    shown = [{"from_name": "c", "to_name": "image", "type": "choices", "value": {"choices": ["b"]}, "score": 0.4}]
    assert [result["result"] for result in results] == [shown, [], [], [], shown]
    assert {result["model_version"] for result in results} == {VERSION}


def test_predict_answers_a_whole_project(client: Client, store: Store) -> None:
    open_round(store, *(pick(i) for i in range(1, 901)))
    results = client.post("/predict", json=predict(*range(12_019, 0, -1))).json()["results"]
    assert len(results) == 12_019
    assert results[-1]["score"] == 0.001


def test_control_pick_of_an_earlier_round_stays_hidden(client: Client, store: Store) -> None:
    open_round(store, pick(1, "control"), pick(2))
    open_round(store, pick(1, "query", "a", 0.8, 2), pick(2, "query", "a", 0.8, 2), number=2)
    results = client.post("/predict", json=predict(1, 2)).json()["results"]
    assert [bool(result["result"]) for result in results] == [False, True]


def test_predictions_can_be_switched_off(client: Client, store: Store) -> None:
    open_round(store, pick(1, "query", "a", 0.8))
    client.post("/setup", json=setup(extra_params={"show_predictions": False}))
    assert client.post("/predict", json=predict(1)).json()["results"] == [
        {"result": [], "score": 0.001, "model_version": VERSION}
    ]


def test_answer_outside_the_labeling_config_is_not_shown(client: Client, store: Store) -> None:
    open_round(store, pick(1, "query", "gone", 0.8))
    assert client.post("/predict", json=predict(1)).json()["results"][0]["result"] == []


def test_predict_for_an_unknown_project_is_empty(client: Client) -> None:
    assert (
        client.post("/predict", json=predict(5, 6, project="9.1")).json()["results"]
        == [{"result": [], "score": 1.0, "model_version": ""}] * 2
    )


@pytest.mark.parametrize(
    ("tasks", "word"),
    [(None, "tasks"), ({}, "tasks"), ([1], "tasks.0"), ([{}], "tasks.0.id"), ([{"id": "x"}], "tasks.0.id"),
     ([{"id": 1, "data": []}], "tasks.0.data"), ([{"id": 2**64}], "tasks.0.id")],
)  # fmt: skip
def test_predict_names_the_bad_key_of_a_task(client: Client, tasks: object, word: str) -> None:
    answer = client.post("/predict", json={**predict(), "tasks": tasks})
    assert answer.status_code == 400
    assert word in answer.json()["error"]


# all of them


def test_no_answer_contains_a_secret(connect_client: Callable[..., Client], store: Store) -> None:
    client = connect_client(
        auth=("lead", "a-password"),
        basic_auth_user="lead",
        basic_auth_pass="a-password",
        database_url="sqlite:///never-opened-secret",
    )
    open_round(store, pick(1))
    add_tasks(store, 1, 2)
    answers = [client.post("/setup", json=setup(extra_params={"rounds": 5}))]
    answers += [client.post("/setup", json=setup(hostname=7, access_token=[TOKEN])), client.post("/webhook", json=event())]
    answers += [client.post("/predict", json=predict(1, 2)), client.post("/webhook", json=event(project=5))]
    answers += [
        client.get(path) for path in ("/", "/health", "/versions", "/metrics", "/api/projects", "/api/projects/3", "/nope")
    ]
    answers += [client.page(path) for path in ("/", "/projects/3", "/projects/3/status", "/openapi.json", "/docs")]
    project = store.project(PROJECT)
    assert project is not None
    assert project.access_token == TOKEN
    for answer in answers:
        for secret in (TOKEN, "a-password", "never-opened-secret"):
            assert secret not in answer.text + str(answer.headers)
