"""The settings: what is shown of each, and which changes are refused. That they reach Label Studio is in tests/integration."""

from typing import Any

import pytest

from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.engine import extra_params
from pt4al_backend.state.store import Store
from tests.support.bodies import event
from tests.support.filled import PROJECT, fill
from tests.support.web_client import Client

ADDRESS = f"/api/projects/{PROJECT}/settings"
PAGE = f"/projects/{PROJECT}/settings"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def shown(store: Store, settings: ServerSettings) -> Store:
    fill(store, settings)
    return store


def read(client: Client) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in client.get(ADDRESS).json()["settings"]}


def change(client: Client, **changes: str | None) -> Any:
    return client.post(ADDRESS, json={"read": client.get(ADDRESS).json()["read"], "changes": changes})


def test_every_setting_is_shown_with_its_explanation_and_when_it_takes_effect(client: Client, shown: Store) -> None:
    found = read(client)
    assert list(found) == list(ProjectSettings.model_fields)
    assert all(each["description"] and each["takes_effect"] for each in found.values())
    rounds = found["rounds"]
    assert (rounds["kind"], rounds["low"], rounds["high"], rounds["default"]) == ("whole number", 1, 1000, "10")
    assert found["tuning"]["choices"] == ["auto", "head", "full"]
    assert found["warm_start"]["choices"] == ["true", "false"]
    assert "margin" in found["strategy"]["choices"]
    text = " ".join(client.page(PAGE).text.split())
    assert "A change takes effect with the next query or training; a running training is not disturbed." in text
    assert "<code>paper</code> sets rounds" in text


def test_value_in_force_names_where_it_comes_from(client: Client, shown: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PT4AL_SEED", "7")
    shown.change(PROJECT, params={"rounds": 5, "preset": "paper", "show_predictions": False})
    found = {name: (each["given"], each["in_force"], each["origin"]) for name, each in read(client).items()}
    assert found["rounds"] == ("5", "5", "extra params")
    assert found["show_predictions"] == ("false", "false", "extra params")
    assert found["seed"] == (None, "7", "environment")
    assert found["schedule"] == (None, "step", "preset")
    assert found["width"] == (None, None, "backend")
    assert found["query_size"][::2] == (None, "backend")
    assert found["query_size"][1] == str(client.get(f"/api/projects/{PROJECT}").json()["query_size"])
    assert found["warm_start"] == (None, "false", "preset")
    assert found["class_weights"] == (None, "none", "default")


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"rounds": "0"}, {"rounds": "greater than or equal to 1"}),
        ({"rounds": "many", "seed": "-1", "epochs": "3"}, {"rounds": "valid integer", "seed": "greater than or equal to 0"}),
        ({"strategy": HOSTILE}, {"strategy": "should be one of"}),
        ({"tuning": "half"}, {"tuning": "'auto', 'head' or 'full'"}),
        ({"colour": "red"}, {"colour": "no such setting"}),
        ({"first_query": "batch:9", "batches": "3"}, {"": "there is no 'batch:9'"}),
        ({"tuning": "head", "encoder": "resnet18"}, {"": "'head' trains what is on a pretrained encoder"}),
    ],
)
def test_values_that_are_not_allowed_are_refused_beside_their_field(
    client: Client, shown: Store, changes: dict[str, str], wrong: dict[str, str]
) -> None:
    answer = change(client, **changes)
    assert answer.status_code == 400
    fields = answer.json()["fields"]
    assert fields.keys() == wrong.keys()
    assert all(wrong[name] in reason for name, reason in fields.items())
    assert shown.actions(PROJECT, 10) == []


@pytest.mark.parametrize("body", [{}, {"read": "x"}, {"read": "x", "changes": {}}, {"read": "x", "changes": {"rounds": 5}}, []])
def test_body_that_is_no_change_is_refused(client: Client, shown: Store, body: Any) -> None:
    assert client.post(ADDRESS, json=body).status_code == 400


def test_without_access_to_label_studio_nothing_changes_and_the_reason_is_said(client: Client, shown: Store) -> None:
    answer = change(client, rounds="5")
    assert answer.status_code >= 400
    assert "LABEL_STUDIO_API_KEY" in answer.json()["remedy"]
    assert read(client)["rounds"]["given"] is None


def test_change_is_shown_at_once_and_the_last_webhook_is_still_known(
    client: Client, shown: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*_: object) -> dict[str, int]:
        shown.change(PROJECT, params={"query_size": 17})
        return {"query_size": 17}

    def status() -> tuple[int, bool]:
        found = client.get(f"/api/projects/{PROJECT}").json()
        return found["query_size"], found["webhook_at"] is not None

    client.post("/webhook", json=event(project=PROJECT))
    size, has_webhook = status()
    assert (size != 17, has_webhook) == (True, True)
    monkeypatch.setattr(extra_params, "write", write)
    assert change(client, query_size="17").status_code == 200
    assert status() == (17, True)


def test_other_sites_change_nothing(client: Client, shown: Store) -> None:
    body = {"read": "", "changes": {"rounds": "5"}}
    assert client.post(ADDRESS, json=body, headers={"Origin": "https://elsewhere.example"}).status_code == 403


def test_hostile_values_stay_text(client: Client, shown: Store) -> None:
    shown.change(PROJECT, params={"background": HOSTILE})
    assert HOSTILE not in client.page(PAGE).text
    assert read(client)["background"]["given"] == HOSTILE
