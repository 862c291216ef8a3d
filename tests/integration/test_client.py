"""The client, the annotator and what both rely on, against a real Label Studio."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image
from requests.adapters import HTTPAdapter

from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.demo.servers import free_port
from pt4al_backend.errors import AuthError, LabelStudioError, Unreachable
from pt4al_backend.label_studio.annotations import image_of, prediction
from pt4al_backend.label_studio.classification import ClassificationReader
from pt4al_backend.label_studio.client import LabelStudio, NotFound
from pt4al_backend.label_studio.label_config import parse
from tests.support.servers import LabelStudioServer
from tests.support.stub_server import Reply, Request, stub_server

pytestmark = pytest.mark.label_studio

LABEL_CONFIG = (
    '<View><Image name="image" value="$image"/>'
    '<Choices name="label" toName="image"><Choice value="cat"/><Choice value="dog" alias="d"/></Choices></View>'
)
CONFIG = parse(LABEL_CONFIG)
CHOICES = ClassificationReader(CONFIG)
UNCERTAINTY = "Uncertainty sampling"


@pytest.fixture(scope="session")
def client(label_studio: LabelStudioServer) -> LabelStudio:
    return LabelStudio(label_studio.url, label_studio.token)


@pytest.fixture(scope="session")
def second(label_studio: LabelStudioServer) -> Annotator:
    annotator = Annotator(label_studio.url, "second@example.com", "a-long-password-2")
    annotator.sign_up()
    return annotator


def make_project(lead: Annotator, tasks: int) -> tuple[int, list[int]]:
    project = lead.create_project("Pets", LABEL_CONFIG)
    return project, lead.import_tasks(project, [{"data": {"image": f"https://images.example/{i}.png"}} for i in range(tasks)])


def all_tasks(client: LabelStudio, project: int, **which: Any) -> dict[int, dict[str, Any]]:
    return {task["id"]: task for page in client.task_pages(project, **which) for task in page}


def publish(client: LabelStudio, project: int, order: list[int], version: str) -> None:
    made = [prediction(task_id, CHOICES.regions("cat", 0.5, None), place / 100, version) for place, task_id in enumerate(order)]
    assert client.import_predictions(project, made) == len(order)
    client.update_project(project, sampling=UNCERTAINTY, model_version=version)


def test_both_kinds_of_token_work_and_fetch_images(lead: Annotator, client: LabelStudio, tmp_path: Path) -> None:
    Image.new("RGB", (5, 4), "red").save(tmp_path / "red.png")
    project = lead.create_project("Uploads", LABEL_CONFIG)
    (task_id,) = lead.upload_images(project, [tmp_path / "red.png"])
    personal = LabelStudio(client.url, lead.create_personal_access_token())
    assert (client.token_kind, personal.token_kind) == ("legacy", "personal")
    assert personal.whoami()["email"] == client.whoami()["email"] == lead.email
    address = client.url + image_of(all_tasks(personal, project)[task_id]["data"], CONFIG)
    for one in (client, personal):
        assert (
            requests.get(address, headers=one.authorization(refresh=True), timeout=10).content
            == (tmp_path / "red.png").read_bytes()
        )
    assert requests.get(address, timeout=10).status_code == 401


def test_wrong_tokens_are_refused_with_a_remedy(client: LabelStudio) -> None:
    claims = base64.urlsafe_b64encode(b'{"token_type": "refresh", "exp": 8000000000}').rstrip(b"=").decode()
    for token in ("f" * 40, f"eyJhbGciOiJIUzI1NiJ9.{claims}.c2lnbmF0dXJl"):
        with pytest.raises(AuthError) as caught:
            LabelStudio(client.url, token).whoami()
        assert "LABEL_STUDIO_API_KEY" in caught.value.remedy
        assert token not in str(caught.value)


def test_wrong_path_behind_the_address_and_missing_project_are_different_errors(
    client: LabelStudio, label_studio: LabelStudioServer
) -> None:
    assert client.version() == "1.23.2"
    with pytest.raises(LabelStudioError, match="does not answer as Label Studio does"):
        LabelStudio(f"{label_studio.url}/studio", label_studio.token).whoami()
    with pytest.raises(NotFound, match="No Project matches"):
        client.project(999_999)


def test_a_restart_is_survived_and_legacy_tokens_can_be_off(own_label_studio: Callable[..., LabelStudioServer]) -> None:
    server = own_label_studio()
    client = LabelStudio(server.url, server.token)
    impatient = LabelStudio(server.url, server.token, adapter=HTTPAdapter(max_retries=0))
    assert client.whoami()["email"] == server.email
    server.kill()
    with pytest.raises(Unreachable):
        impatient.whoami()
    server.start()
    assert client.whoami()["email"] == server.email

    admin = Annotator(server.url, server.email, server.password)
    admin.log_in()
    admin.set_tokens(personal=True, legacy=False)
    with pytest.raises(AuthError, match="legacy token authentication has been disabled") as caught:
        client.whoami()
    assert "API Tokens Settings" in caught.value.remedy
    assert admin.enable_legacy_tokens() == server.token
    assert client.whoami()["email"] == server.email


def test_tasks_come_by_their_ids_however_many_are_named(lead: Annotator, client: LabelStudio) -> None:
    project, ids = make_project(lead, 600)
    _, others = make_project(lead, 3)
    lead.annotate(ids[3], CHOICES.regions("d", None, None))
    wanted = [*ids[::2], *ids[3:4]]
    found = {task["id"]: task for page in client.named_pages(project, [*wanted, *others, 999_999_999]) for task in page}
    assert sorted(found) == sorted(wanted)
    assert CHOICES.answer_of(found[ids[3]]["annotations"]).label == "d"


def test_pages_hold_every_task_once_with_its_annotations(lead: Annotator, client: LabelStudio) -> None:
    project, ids = make_project(lead, 25)
    lead.annotate(ids[3], CHOICES.regions("d", None, None))
    lead.skip(ids[7])
    pages = list(client.task_pages(project, page_size=10))
    assert [len(page) for page in pages] == [10, 10, 5]
    tasks = [task for page in pages for task in page]
    assert [task["id"] for task in tasks] == ids == client.task_ids(project).tolist()
    answers = [CHOICES.answer_of(task["annotations"]) for task in tasks]
    assert {ids[i]: (a.kind, a.label) for i, a in enumerate(answers) if a.kind != "none"} == {
        ids[3]: ("label", "d"),
        ids[7]: ("skip", None),
    }
    assert [task["is_labeled"] for task in tasks].count(True) == 1
    (answered,) = client.answered_pages(project)
    assert [task["id"] for task in answered] == [ids[3], ids[7]]
    fetched = {task["id"]: task for page in client.named_pages(project, [ids[7], ids[1], ids[3]]) for task in page}
    assert list(fetched) == [ids[1], ids[3], ids[7]]
    for task in answered:
        assert [set(each) for each in task["annotations"]] == [
            set(each) - {"result"} for each in fetched[task["id"]]["annotations"]
        ]


def test_increments_show_every_change_and_nothing_else(lead: Annotator, client: LabelStudio) -> None:
    project, ids = make_project(lead, 4)
    newest = max(task["updated_at"] for task in all_tasks(client, project).values())
    annotation = 0

    def changed() -> list[int]:
        nonlocal newest
        seen = all_tasks(client, project, updated_since=newest)
        tasks = [i for i, task in seen.items() if task["updated_at"] > newest]
        newest = max(task["updated_at"] for task in seen.values())
        return tasks

    assert changed() == []
    annotation = lead.annotate(ids[0], CHOICES.regions("cat", None, None))
    assert changed() == [ids[0]]
    lead.change_annotation(annotation, CHOICES.regions("d", None, None))
    assert changed() == [ids[0]]
    lead.delete_annotation(annotation)
    assert changed() == [ids[0]]
    lead.skip(ids[1])
    assert changed() == [ids[1]]
    lead.change_data(ids[2], {"image": "https://images.example/new.png"})
    assert changed() == [ids[2]]
    publish(client, project, ids, "v1")
    assert changed() == []
    lead.delete_task(ids[3])
    assert changed() == []
    assert client.task_ids(project).tolist() == ids[:3]
    assert client.project(project)["task_number"] == 3


def test_predictions_join_a_version_and_invalid_ones_are_counted_out(lead: Annotator, client: LabelStudio) -> None:
    project, ids = make_project(lead, 4)
    publish(client, project, ids[:2], "v1")
    assert client.import_predictions(project, [prediction(ids[2], CHOICES.regions("d", 0.5, None), 0.9, "v1")]) == 1
    assert client.model_versions(project) == {"v1": 3}
    good = prediction(ids[3], [], 1.0, "v2")
    out_of_range = {**good, "score": 1.5}
    value_not_alias = prediction(ids[3], [{**CHOICES.regions("d", 0.5, None)[0], "value": {"choices": ["dog"]}}], 0.1, "v2")
    assert client.import_predictions(project, [good, out_of_range, value_not_alias]) == 1
    with pytest.raises(LabelStudioError, match="HTTP 400"):
        client.import_predictions(project, [good, {**good, "task": ids[3] + 1000}])
    assert client.model_versions(project) == {"v1": 3, "v2": 1}
    client.delete_model_version(project, "v2")
    assert client.model_versions(project) == {"v1": 3}
    assert client.project(project)["model_version"] == "v1"


def test_a_version_without_predictions_cannot_be_served(lead: Annotator, client: LabelStudio) -> None:
    project, _ = make_project(lead, 1)
    with pytest.raises(LabelStudioError, match="model_version"):
        client.update_project(project, model_version="nobody-published-this")


def test_two_annotators_are_served_in_score_order_and_the_new_order_after_a_swap(
    lead: Annotator, second: Annotator, client: LabelStudio
) -> None:
    project, ids = make_project(lead, 8)
    order = [ids[i] for i in (5, 2, 7, 0, 3, 6)]
    publish(client, project, order, "v1")
    served = []
    for annotator in (lead, second, second, lead):
        task = annotator.next_task(project)
        assert task is not None
        served.append(task["id"])
        annotator.annotate(task["id"], CHOICES.regions("cat", None, None))
    assert served == order[:4]
    publish(client, project, [ids[4], ids[6], ids[3], ids[1]], "v2")
    rest = []
    while (task := second.next_task(project)) is not None:
        rest.append(task["id"])
        second.annotate(task["id"], CHOICES.regions("cat", None, None))
    assert rest == [ids[4], ids[6], ids[3], ids[1]]


def test_an_accepted_prediction_is_known_as_such_even_after_its_version_is_gone(lead: Annotator, client: LabelStudio) -> None:
    project, ids = make_project(lead, 2)
    publish(client, project, ids, "v1")
    (shown,) = lead.task(ids[0])["predictions"]
    lead.annotate(ids[0], CHOICES.regions("cat", None, None), accepting=shown["id"])
    lead.annotate(ids[1], CHOICES.regions("cat", None, None))

    def accepted() -> list[bool]:
        return [CHOICES.answer_of(task["annotations"]).accepted for task in all_tasks(client, project).values()]

    assert accepted() == [True, False]
    assert client.prediction(shown["id"])["result"] == shown["result"]
    client.delete_model_version(project, "v1")
    assert accepted() == [True, False]
    with pytest.raises(NotFound):
        client.prediction(shown["id"])


def test_connecting_a_backend_makes_a_webhook_whose_header_can_be_set(lead: Annotator, client: LabelStudio) -> None:
    project, ids = make_project(lead, 1)
    login = "Basic " + base64.b64encode(b"user:pass").decode()

    def answer(request: Request) -> Reply:
        if request.path in ("/setup", "/webhook") and request.headers.get("Authorization") != login:
            return Reply(401, {"detail": "who are you?"})
        return Reply(200, {"status": "UP", "model_class": "Stub", "model_version": "none"})

    with stub_server(answer) as (url, seen):
        with pytest.raises(LabelStudioError, match="HTTP 400"):
            lead.connect_backend(project, url)
        backend = lead.connect_backend(project, url, basic_auth=("user", "pass"), extra_params={"rounds": 3})
        assert [each["id"] for each in client.ml_backends(project)] == [backend]
        assert next(request.json["extra_params"] for request in reversed(seen) if request.path == "/setup") == {"rounds": 3}
        (webhook,) = client.webhooks(project)
        assert webhook["url"] == f"{url}/webhook"

        def actions() -> list[tuple[str, bool]]:
            sent = [request for request in seen if request.path == "/webhook"]
            return [(request.json["action"], "Authorization" in request.headers) for request in sent]

        lead.annotate(ids[0], CHOICES.regions("cat", None, None))
        assert actions() == [("ANNOTATION_CREATED", False)]
        changes = {"url": webhook["url"], "send_payload": True, "headers": {"Authorization": login}}
        client.update_webhook(webhook["id"], **changes)
        lead.skip(ids[0])
        lead.start_training(backend)
        assert actions()[1:] == [("ANNOTATION_CREATED", True), ("START_TRAINING", True)]


def test_a_view_is_made_once(lead: Annotator, client: LabelStudio) -> None:
    project, _ = make_project(lead, 1)
    made = client.create_view(project, "PT4AL queue", ordering=["tasks:predictions_score"])
    assert client.create_view(project, "PT4AL queue", ordering=["tasks:id"]) == made
    assert [view["data"]["title"] for view in client.views(project)] == ["PT4AL queue"]


def test_an_annotator_with_a_wrong_password_or_without_a_server_gets_an_error(label_studio: LabelStudioServer) -> None:
    with pytest.raises(AuthError, match="refuses the account"):
        Annotator(label_studio.url, label_studio.email, "wrong").log_in()
    with pytest.raises(AuthError, match="refuses the new account"):
        Annotator(label_studio.url, label_studio.email, "a-long-password-3").sign_up()
    with pytest.raises(Unreachable):
        Annotator(f"http://127.0.0.1:{free_port()}", label_studio.email, "any").log_in()
