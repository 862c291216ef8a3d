"""The plugin hosted by label-studio-ml's own server, in a real Label Studio, with a worker beside it."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.demo.servers import free_port
from pt4al_backend.label_studio.classification import ClassificationReader
from pt4al_backend.label_studio.client import LabelStudio
from pt4al_backend.label_studio.label_config import parse
from tests.support.backend import Worker
from tests.support.servers import REPOSITORY, LabelStudioServer, Server, wait_until

pytestmark = pytest.mark.label_studio

PLUGIN = REPOSITORY / "plugin"
LABEL_CONFIG = (PLUGIN / "labeling" / "classification.xml").read_text()
BIN = Path(sys.executable).parent
PARAMS = {"rounds": 2, "query_size": 6, "pretext_epochs": 1, "epochs": 1, "width": 8, "control_share": 0.5}


@dataclass(frozen=True)
class Host:
    """label-studio-ml's server, and a worker that shares its environment."""

    server: Server
    worker: Worker


@pytest.fixture
def host(label_studio: LabelStudioServer, tmp_path: Path) -> Iterator[Host]:
    pytest.importorskip("label_studio_ml", reason="needs the extra label-studio-ml")
    port = free_port()
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith(("LABEL_STUDIO_", "PT4AL_", "BASIC_AUTH_"))
    }
    environment = {
        **inherited,
        "PATH": f"{BIN}:{os.environ['PATH']}",  # it starts plugin/_wsgi.py with whatever python the path names
        "OMP_NUM_THREADS": "1",
        "LABEL_STUDIO_URL": label_studio.url,
        "LABEL_STUDIO_API_KEY": label_studio.token,
        "PT4AL_DATA_DIR": str(tmp_path / "data"),
        "PT4AL_PRETRAINED": "off",
        "PT4AL_POLL_SECONDS": "3600",  # what arrives, arrives by webhook
    }
    command = [str(BIN / "label-studio-ml"), "start", str(PLUGIN), "--port", str(port), "--host", "127.0.0.1"]
    server = Server("label-studio-ml", command, port, tmp_path, environment)
    server.start()
    worker = Worker([str(BIN / "pt4al"), "worker"], tmp_path, environment)
    worker.start()
    yield Host(server, worker)
    server.stop()
    worker.stop()


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    generator = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(24)]
    for path in paths:
        Image.fromarray(generator.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path)
    return paths


def test_label_studio_ml_1_0_9_hosts_the_backend(
    host: Host, lead: Annotator, label_studio: LabelStudioServer, images: list[Path]
) -> None:
    client = LabelStudio(label_studio.url, label_studio.token)
    config = parse(LABEL_CONFIG)

    project = lead.create_project("Hosted by label-studio-ml", LABEL_CONFIG)
    backend = lead.connect_backend(project, host.server.url, extra_params=PARAMS)
    assert [hook["url"] for hook in client.webhooks(project)] == [f"{host.server.url}/webhook"]

    tasks = lead.upload_images(project, images)
    wait_until(lambda: published(client, project, 1) >= 6, 120, "the images are ranked and the first query published")

    for number in range(6):
        task = lead.next_task(project)
        assert task is not None
        assert task["id"] in tasks
        lead.annotate(task["id"], ClassificationReader(config).regions(config.labels[number % 2], None, None))
    lead.start_training(backend)
    wait_until(lambda: published(client, project, 2) >= 6, 180, "the model is trained and the second query published")

    # with a model /predict shows its labels, except where they would bias the measure
    answer = requests.post(f"{host.server.url}/predict", json=predict_body(client, project, tasks), timeout=60)
    answered = answer.json()["results"]
    assert [each["model_version"] for each in answered] == [served(client, project)] * len(tasks)
    shown = [each["result"][0]["value"]["choices"][0] for each in answered if each["result"]]
    assert len(shown) >= len(tasks) // 2
    assert set(shown) <= set(config.labels)
    host.worker.check()
    assert "Traceback" not in host.server.tail(1000)


@pytest.mark.parametrize("name", ["classification", "segmentation-brush", "segmentation-polygon"])
def test_label_studio_accepts_the_labeling_config(lead: Annotator, name: str) -> None:
    assert lead.create_project(f"Config {name}", (PLUGIN / "labeling" / f"{name}.xml").read_text()) > 0


def served(client: LabelStudio, project: int) -> str:
    """The model version that Label Studio sorts by."""
    return str(client.project(project).get("model_version") or "")


def published(client: LabelStudio, project: int, round_number: int) -> int:
    """How many predictions of that round's queue Label Studio serves."""
    version = served(client, project)
    return client.model_versions(project).get(version, 0) if version.startswith(f"pt4al-r{round_number}-") else 0


def predict_body(client: LabelStudio, project: int, tasks: list[int]) -> dict[str, object]:
    """A /predict request as Label Studio sends it."""
    found = [task for page in client.task_pages(project) for task in page if task["id"] in tasks]
    return {"tasks": found, "project": f"{project}.1795241480", "label_config": LABEL_CONFIG, "params": {"login": None}}
