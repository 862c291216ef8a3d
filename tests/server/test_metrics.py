"""What monitoring reads."""

from prometheus_client.parser import text_string_to_metric_families

from pt4al_backend.measures import Control
from pt4al_backend.state.rounds import ClosedRound
from pt4al_backend.state.schema import AnswerKind
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support.bodies import event, setup
from tests.support.rounds import PROJECT, add_tasks, open_round, pick
from tests.support.web_client import Client


def samples(client: Client) -> dict[tuple[str, tuple[str, ...]], float]:
    """(name, sorted label values) -> value."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.text)
    return {(each.name, tuple(sorted(each.labels.values()))): each.value for family in families for each in family.samples}


def test_gauges_show_where_each_project_stands(client: Client, store: Store) -> None:
    open_round(store, pick(1), pick(2))
    add_tasks(store, 1, 2, 3)
    store.set_tasks(PROJECT, {"id": [3], "problem": ["Broken."]})
    measured = Control(metric="accuracy", total=4, value=0.75, low=0.3, high=0.95)
    open_round(store, pick(1, round_number=2), number=2, closed=ClosedRound(0, control=measured))
    store.put_answers(PROJECT, {2: StoredAnswer(AnswerKind.LABEL, "a")})
    store.change(PROJECT, phase="training", error="It broke.")
    found = samples(client)
    expected = {
        "round": 2, "tasks": 3, "labels": 1, "labels_missing": 1, "set_aside": 1, "error": 1,
        "control_score": 0.75, "control_score_low": 0.3, "control_score_high": 0.95,
    }  # fmt: skip
    assert {name: found[(f"pt4al_{name}", ("3",))] for name in expected} == expected
    assert found[("pt4al_phase", ("3", "training"))] == 1


def test_requests_are_counted_by_route_and_events_by_kind(client: Client) -> None:
    client.post("/setup", json=setup())
    for action in ("ANNOTATION_CREATED", "ANNOTATION_CREATED", "MADE_UP_1", "MADE_UP_2"):
        client.post("/webhook", json=event(action))
    client.post("/webhook", json=event(project=9))
    client.get("/api/projects/3")
    client.get("/api/projects/4")
    client.get("/made-up")
    found = samples(client)
    assert found[("pt4al_webhooks_total", ("ANNOTATION_CREATED",))] == 2
    assert found[("pt4al_webhooks_total", ("other",))] == 2
    assert found[("pt4al_http_request_seconds_count", ("/webhook", "200"))] == 4
    assert found[("pt4al_http_request_seconds_count", ("/webhook", "404"))] == 1
    assert found[("pt4al_http_request_seconds_count", ("/api/projects/{project}", "200"))] == 1
    assert found[("pt4al_http_request_seconds_count", ("/api/projects/{project}", "404"))] == 1
    assert not any("made-up" in "".join(labels) or "MADE_UP" in "".join(labels) for _, labels in found)


def test_each_app_counts_for_itself(client: Client, connect_client: object) -> None:
    client.post("/setup", json=setup())
    other = connect_client()  # type: ignore[operator]
    assert ("pt4al_http_request_seconds_count", ("/setup", "200")) not in samples(other)
