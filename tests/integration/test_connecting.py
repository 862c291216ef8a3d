"""Connecting the backend as Settings > Model does: tokens, basic auth, the webhook, and what is refused."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.errors import LabelStudioError
from pt4al_backend.label_studio.classification import ClassificationReader
from pt4al_backend.label_studio.client import LabelStudio
from pt4al_backend.label_studio.label_config import parse
from tests.support.backend import SECONDS, Backend
from tests.support.images import LABEL_CONFIG, arrow, class_of, save
from tests.support.servers import LabelStudioServer, wait_until

pytestmark = pytest.mark.label_studio

CHOICES = ClassificationReader(parse(LABEL_CONFIG))
PARAMS = {"rounds": 2, "query_size": 4, "control_share": 0.5, "pretext_epochs": 2, "epochs": 2, "width": 8}

#: What arrives within a test's time has arrived by webhook.
NO_POLL = {"PT4AL_POLL_SECONDS": "3600"}


@pytest.fixture(scope="module")
def owner(label_studio: LabelStudioServer) -> Annotator:
    """An admin who works with personal access tokens; each user can have one."""
    annotator = Annotator(label_studio.url, "owner@example.com", "a-long-password-2")
    annotator.sign_up()
    return annotator


@pytest.fixture
def make_backend(label_studio: LabelStudioServer, tmp_path: Path) -> Iterator[Callable[..., Backend]]:
    """Starts backends; keyword arguments are those of `Backend`."""
    backends: list[Backend] = []

    def make(**options: str) -> Backend:
        backends.append(Backend(tmp_path / f"backend-{len(backends)}", label_studio, **options))
        backends[-1].start_apart()
        return backends[-1]

    yield make
    for backend in backends:
        backend.__exit__(None, None, None)


def project_with_images(lead: Annotator, folder: Path, count: int = 12) -> int:
    project = lead.create_project(folder.name[:50], LABEL_CONFIG)
    lead.upload_images(project, save(folder / "images", [arrow(number) for number in range(count)]))
    return project


def answer_next(annotator: Annotator, project: int) -> int:
    task = annotator.next_task(project)
    assert task is not None
    annotator.annotate(task["id"], CHOICES.regions(class_of(task["id"]), None, None))
    return int(task["id"])


def words(refusal: LabelStudioError) -> str:
    """What Label Studio shows of a refusal: an address, in which a space is a plus."""
    return str(refusal).replace("+", " ")


def test_with_a_personal_access_token_and_basic_auth_labels_arrive_by_webhook(
    make_backend: Callable[..., Backend], owner: Annotator, label_studio: LabelStudioServer, tmp_path: Path
) -> None:
    token = owner.create_personal_access_token()
    backend = make_backend(token=token, BASIC_AUTH_USER="studio", BASIC_AUTH_PASS="kept to themselves", **NO_POLL)
    project = project_with_images(owner, tmp_path)

    with pytest.raises(LabelStudioError, match="401 Client Error: Unauthorized"):
        owner.connect_backend(project, backend.url, extra_params=PARAMS)
    with pytest.raises(LabelStudioError, match="401 Client Error: Unauthorized"):
        owner.connect_backend(project, backend.url, basic_auth=("studio", "guessed"), extra_params=PARAMS)
    owner.connect_backend(project, backend.url, basic_auth=backend.login, extra_params=PARAMS)

    status = backend.wait_for(project, phase="labelling", labels_missing=4)
    assert status["notices"].get("webhook") is None
    (webhook,) = LabelStudio(label_studio.url, token).webhooks(project)
    assert list(webhook["headers"]) == ["X-PT4AL-Webhook"]
    answer_next(owner, project)
    assert backend.wait_for(project, labels_in=1)["webhook_at"] is not None
    assert requests.get(f"{backend.url}/api/projects/{project}", timeout=30).status_code == 401
    assert requests.post(f"{backend.url}/webhook", json={}, timeout=30).status_code == 401


def test_the_webhook_gets_its_header_even_if_the_first_look_came_too_early_for_it(
    make_backend: Callable[..., Backend], lead: Annotator, label_studio: LabelStudioServer, tmp_path: Path
) -> None:
    client = LabelStudio(label_studio.url, label_studio.token)
    backend = make_backend(BASIC_AUTH_USER="studio", BASIC_AUTH_PASS="kept to themselves", PT4AL_POLL_SECONDS="1")
    project = project_with_images(lead, tmp_path)
    # Label Studio asks /setup first, and makes the webhook only when it is content with the answer
    assert backend.post("/setup", json={"project": f"{project}.1", "schema": LABEL_CONFIG, "extra_params": PARAMS}).ok
    status = backend.wait_for(project, phase="labelling")
    assert "Settings > Model" in status["notices"]["webhook"]
    lead.connect_backend(project, backend.url, basic_auth=backend.login, extra_params=PARAMS)
    wait_until(lambda: client.webhooks(project)[0]["headers"], SECONDS, "the webhook has its header")
    wait_until(lambda: not backend.status(project)["notices"].get("webhook"), SECONDS, "the notice is gone")


def test_with_a_legacy_token_labels_arrive_and_what_cannot_work_is_refused(
    make_backend: Callable[..., Backend], lead: Annotator, tmp_path: Path
) -> None:
    backend = make_backend(**NO_POLL)
    project = project_with_images(lead, tmp_path)
    with pytest.raises(LabelStudioError) as unknown:
        lead.connect_backend(project, backend.url, extra_params={"query-size": 4})
    assert "Unknown setting 'query-size'" in words(unknown.value)
    with pytest.raises(LabelStudioError) as not_allowed:
        lead.connect_backend(project, backend.url, extra_params='{"rounds": 0}')
    assert "'rounds': 0 is not allowed" in words(not_allowed.value)
    nested = lead.create_project("Choices of each region", LABEL_CONFIG.replace("<Choices ", '<Choices perRegion="true" '))
    with pytest.raises(LabelStudioError) as per_region:
        lead.connect_backend(nested, backend.url)
    assert "belong to each region" in words(per_region.value)
    assert backend.status(nested) == {}

    lead.connect_backend(project, backend.url, extra_params=PARAMS)
    backend.wait_for(project, phase="labelling", labels_missing=4)
    answer_next(lead, project)
    backend.wait_for(project, labels_in=1)


def test_a_wrong_or_revoked_token_is_named_where_the_user_looks(
    make_backend: Callable[..., Backend], label_studio: LabelStudioServer, tmp_path: Path
) -> None:
    user = Annotator(label_studio.url, "leaver@example.com", "a-long-password-3")
    user.sign_up()
    revoked = user.create_personal_access_token()
    LabelStudio(label_studio.url, revoked).request("POST", "/api/token/blacklist/", json={"refresh": revoked})
    project = project_with_images(user, tmp_path)
    for token in ("f" * 40, revoked):
        backend = make_backend(token=token)
        user.connect_backend(project, backend.url, extra_params=PARAMS)
        status = backend.wait_for(project, phase="blocked")
        assert "LABEL_STUDIO_API_KEY" in status["error"]["remedy"]
        assert token not in str(status) + backend.worker_log()


def test_the_data_manager_gets_a_tab_that_shows_the_queue_in_its_order(
    make_backend: Callable[..., Backend], lead: Annotator, label_studio: LabelStudioServer, tmp_path: Path
) -> None:
    client = LabelStudio(label_studio.url, label_studio.token)
    backend = make_backend(PT4AL_POLL_SECONDS="1", PT4AL_FULL_SYNC_SECONDS="1")
    project = project_with_images(lead, tmp_path)
    lead.connect_backend(project, backend.url, extra_params=PARAMS)
    queried = sum(share["requested"] for share in backend.wait_for(project, phase="labelling")["picks"].values())
    assert client.views(project) == []  # a lone tab of ours would take the place of Label Studio's own
    client.create_view(project, "Default")

    (tab,) = wait_until(lambda: [view["id"] for view in client.views(project)][1:], SECONDS, "there is a second tab")
    served = []
    listed = [task["id"] for task in client.request("GET", "/api/tasks", params={"view": tab, "project": project})["tasks"]]
    assert len(listed) == queried
    for _ in range(3):
        served.append(answer_next(lead, project))
    assert served == listed[:3]
    left = client.request("GET", "/api/tasks", params={"view": tab, "project": project})["tasks"]
    assert [task["id"] for task in left] == listed[3:]

    client.request("DELETE", f"/api/dm/views/{tab}/", params={"project": project})
    lead.delete_task(listed[-1])  # which only a full pass finds out
    counts = {"tasks": 11, "pool": 11, "fetched": 11, "scored": 11, "labelled": len(served), "skipped": 0, "aside": 0}
    backend.wait_for(project, tasks=counts)
    assert [view["data"]["title"] for view in client.views(project)] == ["Default"]
