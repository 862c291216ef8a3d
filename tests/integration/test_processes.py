"""The backend's processes against a real Label Studio: what is stopped or full resumes where it was."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pt4al_backend.demo.annotator import Annotator
from tests.support import disks
from tests.support.backend import SECONDS, Backend
from tests.support.driven import PARAMS, POLL, picked, project_with_images
from tests.support.images import arrow, save
from tests.support.servers import LabelStudioServer, wait_until

pytestmark = [pytest.mark.label_studio, pytest.mark.timeout(600)]


def test_two_rounds_are_driven_by_webhooks_alone_and_doubled_ones_change_nothing(
    label_studio: LabelStudioServer, lead: Annotator, tmp_path: Path
) -> None:
    project = project_with_images(lead, label_studio, tmp_path, "Driven by webhooks")
    with Backend(tmp_path, label_studio, PT4AL_POLL_SECONDS="3600") as backend:
        backend.both.start()
        lead.connect_backend(project.id, backend.url, extra_params=PARAMS)
        again = {"project": project.id, "url": f"{backend.url}/webhook?again", "send_payload": True}
        project.client.request("POST", "/api/webhooks/", json={**again, "send_for_all_actions": True})
        for number in (1, 2):
            status = backend.wait_for(project.id, phase="labelling", round=number, labels_in=0)
            assert project.versions()[project.served()] == picked(status)
            project.answer(6)
        status = backend.wait_for(project.id, phase="labelling", round=3)
        assert [each["labels"] + each["control"]["total"] for each in status["history"]] == [6, 12, 0]
        assert len(project.versions()) == 4  # the first control picks, and the query of each round
        assert status["tasks"]["labelled"] == 12
        # late imports and deletions come by webhook too
        lead.upload_images(project.id, save(tmp_path / "images", [arrow(24)], 24))
        wait_until(lambda: backend.status(project.id)["tasks"]["scored"] == 25, SECONDS, "the late import is ranked")


def test_round_continues_after_label_studio_restarts_without_its_webhook(
    own_label_studio: Callable[..., LabelStudioServer], tmp_path: Path
) -> None:
    server = own_label_studio()
    lead = Annotator(server.url, server.email, server.password)
    lead.log_in()
    project = project_with_images(lead, server, tmp_path, "Label Studio comes and goes")
    with Backend(tmp_path / "backend", server, **POLL) as backend:
        backend.start_apart()
        lead.connect_backend(project.id, backend.url, extra_params={**PARAMS, "epochs": 200})
        backend.wait_for(project.id, phase="labelling", labels_missing=6)
        (webhook,) = project.client.webhooks(project.id)
        project.client.request("DELETE", f"/api/webhooks/{webhook['id']}/")
        project.answer(2)
        backend.wait_for(project.id, labels_in=2)

        server.kill()
        error = backend.wait_for(project.id, phase="blocked")["error"]
        assert "Label Studio at LABEL_STUDIO_URL does not answer" in error["message"]
        assert error["remedy"]
        server.start()
        backend.wait_for(project.id, phase="labelling", error=None)

        project.answer(4)
        backend.wait_for_checkpoint(backend.job(project.id, "learn-1"))
        server.kill()
        backend.wait_for(project.id, phase="blocked")
        server.start()
        status = backend.wait_for(project.id, phase="labelling", round=2, error=None)
        assert project.served() == status["model_version"]
        assert project.versions()[project.served()] == picked(status)


def test_full_disk_is_named_and_the_round_resumes_once_there_is_space(
    label_studio: LabelStudioServer, lead: Annotator, small_disk: Path, tmp_path: Path
) -> None:
    project = project_with_images(lead, label_studio, tmp_path, "On a full disk")
    with Backend(tmp_path / "backend", label_studio, PT4AL_DATA_DIR=str(small_disk / "data"), **POLL) as backend:
        backend.start_apart()
        lead.connect_backend(project.id, backend.url, extra_params=PARAMS)
        backend.wait_for(project.id, phase="labelling", labels_missing=6)

        filler = disks.fill(small_disk)
        project.answer(6)
        status = wait_until(lambda: (seen := backend.status(project.id)).get("error") and seen, SECONDS, "an error is shown")
        assert "PT4AL_DATA_DIR" in status["error"]["remedy"]
        assert status["round"] == 1
        filler.unlink()
        status = backend.wait_for(project.id, phase="labelling", round=2, error=None)
        assert status["history"][0]["labels"] + status["history"][0]["control"]["total"] == 6
