"""Two hosts without a common disk share a project: by a database, and an S3 bucket in place of a disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.jobs.shared_jobs import COPY
from tests.support.backend import Backend
from tests.support.bucket import ENVIRONMENT, S3Server, s3_server
from tests.support.driven import PARAMS, POLL, project_with_images
from tests.support.servers import LabelStudioServer

pytestmark = [pytest.mark.label_studio, pytest.mark.timeout(600)]

BUCKET = "models-of-a-team"


@pytest.fixture
def s3() -> Iterator[S3Server]:
    """A server with an empty bucket."""
    for package in ("s3fs", "moto"):
        pytest.importorskip(package, reason=f"needs {package}, of the extras s3 and dev")
    with s3_server() as server:
        server.make(BUCKET, {})
        yield server


def test_hosts_without_a_common_disk_take_over_from_each_other_though_one_is_killed_as_it_trains(
    s3: S3Server, label_studio: LabelStudioServer, lead: Annotator, postgresql_url: str, tmp_path: Path
) -> None:
    project = project_with_images(lead, label_studio, tmp_path, "two hosts")
    shared = {
        **POLL,
        **s3.environment,
        "PT4AL_DATABASE_URL": postgresql_url,
        "PT4AL_ARTEFACTS_URL": f"s3://{BUCKET}/pt4al",
    }
    hosts = [Backend(tmp_path / name, label_studio, **shared) for name in "ab"]
    with hosts[0] as a, hosts[1] as b:
        a.start_apart()
        b.web.start()
        lead.connect_backend(project.id, a.url, extra_params={**PARAMS, "epochs": 80})
        a.wait_for(project.id, phase="labelling", round=1, labels_missing=6)
        a.worker.kill()

        b.worker.start()
        project.answer(6)
        b.wait_for_checkpoint(b.job(project.id, "learn-1"))
        b.worker.kill()

        a.worker.start()
        a.wait_for(project.id, phase="labelling", round=2, labels_missing=6)
        a.worker.kill()

        b.worker.start()
        project.answer(6)
        status = b.wait_for(project.id, phase="labelling", round=3)
        assert (b.job(project.id, "learn-1") / COPY).exists(), "what the other host trained was not fetched"
        assert project.versions()[project.served()]
        b.worker.stop()

        tasks = [project.client.request("GET", f"/api/tasks/{task_id}") for task_id in project.given]  # no pick of this round
        asked = {"tasks": tasks, "project": f"{project.id}.1", "label_config": project.kind.label_config}
        answers = a.post("/predict", json=asked).json()["results"]
        assert any(each["result"] for each in answers), "the web process of the host that did not train has no model"
        assert (a.job(project.id, "learn-2") / COPY).exists()
        assert not status["notices"].get("store")
        for text in (str(status), a.worker_log(), b.worker_log(), (a.web.log.read_text())):
            assert ENVIRONMENT["AWS_SECRET_ACCESS_KEY"] not in text
