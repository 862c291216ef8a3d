"""The pretrained encoder of projects whose settings name none."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pt4al_backend import artefacts
from pt4al_backend.bench.numbers.looking import CONFIG, CONTROL
from pt4al_backend.bench.numbers.stub_studio import StubProject, StubStudio
from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.config.catalog import AUTO_ENCODERS, NO_ENCODER
from pt4al_backend.engine import retries
from pt4al_backend.engine.worker import Worker
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.jobs.folder import job_of
from pt4al_backend.jobs.spec import JobSpec
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store
from tests.support.images import arrow, encoded
from tests.support.stub_server import Reply, Request, stub_server

BRUSH = """<View><Image name="image" value="$image"/><BrushLabels name="mask" toName="image">
  <Label value="car"/><Label value="road"/></BrushLabels></View>"""
TASKS = 12
FIRST, SECOND, _ = AUTO_ENCODERS[False]


class Site:
    """A project on a stub of Label Studio, and a worker whose jobs are noted and not done."""

    def __init__(self, folder: Path, studio: StubStudio) -> None:
        self.weights = folder / "weights"
        self.weights.mkdir()
        self.studio = studio
        self.jobs: list[JobSpec] = []
        self.store = Store.open(self.settings())
        self.given: dict[str, Any] = {}
        self.worker = Worker(self.settings(), self.store, self)

    def settings(self, **more: Any) -> ServerSettings:
        place = {"LABEL_STUDIO_URL": self.studio.url, "LABEL_STUDIO_API_KEY": "0" * 40}
        given = {"data_dir": self.weights.parent / "data", "device": "cpu", "pretrained": "off", "weights_dir": self.weights}
        return ServerSettings(**{**given, **place, **more})

    def put(self, encoder: str) -> None:
        """Weights of an encoder, as far as a look finds them."""
        (self.weights / f"{encoder}.safetensors").touch()

    def look(self, params: dict[str, Any] | None = None, config: str = CONFIG, **settings: Any) -> Project:
        """One look at a project that came new, or goes on; what it is then."""
        if self.store.project(1) is None:
            self.studio.projects[1] = new = StubProject(config, CONTROL, TASKS)
            for task in range(1, TASKS + 1):
                new.put(task, f"/data/upload/1/{task}.png")
            self.store.connect(1, label_config=config, setup_at=time.time() + 86_400, params=params or {})
        self.worker = self.worker if settings == self.given else Worker(self.settings(**settings), self.store, self)
        self.given = settings
        self.worker.handle_request(1)
        project = self.store.project(1)
        assert project is not None
        return project

    def run(self, folder: Path, *_: object) -> Path:
        job = job_of(folder)
        assert job is not None
        self.jobs.append(job)
        raise TrainingImpossible("Enough is known.")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.delenv("PT4AL_ENCODER")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("pt4al_backend.learn.weights.search.PACKAGES", {})
    with StubStudio({}, lambda path: encoded(arrow(int(Path(path).stem)))) as studio:
        site = Site(tmp_path, studio)
        yield site
        site.store.close()


def test_first_encoder_whose_weights_are_there_is_used(site: Site) -> None:
    site.put(SECOND)
    assert site.look().encoder == SECOND
    assert [job.settings.encoder for job in site.jobs] == [SECOND]
    assert site.jobs[0].settings.rules() == ("herding", "herding", 2)


def test_without_weights_the_page_says_what_to_do(site: Site) -> None:
    project = site.look()
    assert project.encoder == NO_ENCODER
    assert [job.settings.encoder for job in site.jobs] == [None]
    assert site.jobs[0].settings.rules() == ("stratified", "margin", None)
    for words in ("PT4AL_PRETRAINED is off", f"pt4al weights fetch {FIRST} --to DIR", "PT4AL_WEIGHTS_DIR", f"encoder to {FIRST}"):
        assert words in project.notices["no encoder"]


def test_project_keeps_what_was_chosen_when_weights_come_later(site: Site) -> None:
    site.look()
    site.put(FIRST)
    assert site.look().encoder == NO_ENCODER


def test_weights_are_downloaded_where_there_are_none_after_their_licence_is_said(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    wanted: list[str] = []

    def fetch(url: str, target: Path, _: object) -> str:
        wanted.append(url)
        assert "licence allows commercial use" in caplog.messages[-1]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
        return ""

    monkeypatch.setattr("pt4al_backend.engine.encoder.fetch", fetch)
    assert site.look(pretrained="auto").encoder == FIRST
    assert [FIRST in url for url in wanted] == [True]


class Hub:
    """A server of weights that is away at first, and the clock by which a download is tried again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_away, self.now = True, 1_000.0
        monkeypatch.setattr(retries, "time", self)

    def time(self) -> float:
        return self.now

    def answer(self, _: Request) -> Reply:
        return Reply(503) if self.is_away else Reply(body="weights")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Hub, list[Request]]]:
    hub = Hub(monkeypatch)
    with stub_server(hub.answer) as (url, received):
        monkeypatch.setattr("pt4al_backend.engine.encoder.hub_address", lambda name: f"{url}/{name}")
        yield hub, received


def test_download_that_fails_is_said_and_tried_again_when_it_is_time(site: Site, hub: tuple[Hub, list[Request]]) -> None:
    server, received = hub
    said = site.look(pretrained="auto").notices["no encoder"]
    assert "(HTTPError)" in said
    assert "tried again from 00:17 UTC on" in said
    assert site.jobs[-1].settings.encoder is None
    server.is_away = False
    site.look(pretrained="auto")
    assert len(received) == 1
    server.now += retries.FIRST_RETRY_SECONDS
    project = site.look(pretrained="auto")
    assert [request.path for request in received] == [f"/timm/{FIRST}"] * 2
    assert project.encoder == FIRST
    assert not project.notices.get("no encoder")
    site.store.change(1, trainings_requested=1)  # ends the wait of the rankings, which fail here
    site.look(pretrained="auto")
    assert site.jobs[-1].settings.encoder == FIRST


def test_download_is_not_tried_again_once_a_model_has_learned_labels(site: Site, hub: tuple[Hub, list[Request]]) -> None:
    server, received = hub
    site.look(pretrained="auto")
    server.is_away = False
    server.now += retries.LAST_RETRY_SECONDS
    site.store.change(1, model="projects/1/learn-1/result")
    project = site.look(pretrained="auto")
    assert (project.encoder, len(received)) == (NO_ENCODER, 1)
    assert "has learned labels since" in project.notices["no encoder"]
    assert f"set encoder to {FIRST}" in project.notices["no encoder"]


@pytest.mark.parametrize(
    "params", [{"epochs": 3}, {"pretext": "jigsaw"}, {"strategy": "vaal"}, {"encoder": "resnet18"}, {"init": "fresh"}]
)
def test_settings_of_a_network_that_is_trained_are_obeyed(site: Site, params: dict[str, Any]) -> None:
    site.put(FIRST)
    assert site.look(params).encoder == ""
    assert [job.settings.frozen_encoder for job in site.jobs] == [""]


def test_encoder_that_is_to_be_trained_is_chosen_as_well(site: Site) -> None:
    site.put(FIRST)
    assert site.look({"tuning": "full", "epochs": 3}).encoder == FIRST
    assert [(job.settings.pretrained_encoder, job.settings.frozen_encoder) for job in site.jobs] == [(FIRST, "")]


def test_segmenter_trains_the_encoder_whose_weights_are_there(site: Site) -> None:
    site.put(FIRST)
    assert site.look({"epochs": 3}, BRUSH).encoder == FIRST
    settings = [job.settings for job in site.jobs]
    assert [(each.pretrained_encoder, each.tuning, each.epochs) for each in settings] == [(FIRST, "full", 3)]
    assert settings[0].rules() == ("stratified", "margin", None)


@pytest.mark.parametrize("params", [{"encoder": "resnet34"}, {"init": "fresh"}, {"preset": "paper"}])
def test_segmenter_keeps_the_network_that_its_settings_ask_for(site: Site, params: dict[str, Any]) -> None:
    site.put(FIRST)
    assert site.look(params, BRUSH).encoder == ""
    assert [job.settings.pretrained_encoder for job in site.jobs] == [""]


def test_chosen_encoder_stays_and_settings_without_effect_are_said(site: Site) -> None:
    site.put(FIRST)
    site.look()
    site.store.change(1, params={"epochs": 3, "width": 32})
    said = site.look().notices["settings"]
    assert {job.settings.frozen_encoder for job in site.jobs} == {FIRST}
    for words in ("epochs, width: without effect", FIRST, "set tuning to full", "set encoder to resnet18"):
        assert words in said
    site.store.change(1, params={})
    assert not site.look().notices.get("settings")


def test_project_of_an_earlier_version_goes_on_as_it_began(site: Site) -> None:
    site.put(FIRST)
    site.store.connect(1)
    learner = site.settings().data_dir / "projects" / "1" / "rank-1" / "result"
    with artefacts.writing(learner, settings=ProjectSettings().model_dump(mode="json")):
        pass
    site.store.change(1, learner="projects/1/rank-1/result", learner_pool=TASKS)
    site.studio.projects[1] = known = StubProject(CONFIG, CONTROL, TASKS)
    for task in range(1, TASKS + 1):
        known.put(task, f"/data/upload/1/{task}.png")
    site.store.connect(1, label_config=CONFIG, setup_at=time.time() + 86_400)
    project = site.look()
    assert project.encoder == NO_ENCODER
    assert "no encoder" not in {topic for topic, sentence in project.notices.items() if sentence}
