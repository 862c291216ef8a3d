"""Which model is served as labels, comparisons, settings and files change; jobs say what the test wants, all else is real."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pt4al_backend import artefacts
from pt4al_backend.bench.numbers.looking import CONFIG, CONTROL, PROJECT, fill
from pt4al_backend.bench.numbers.stub_studio import StubProject, StubStudio
from pt4al_backend.config import ServerSettings
from pt4al_backend.engine import served_model
from pt4al_backend.engine.device import Device
from pt4al_backend.engine.insights.background import Insights
from pt4al_backend.engine.model_choice import Comparing
from pt4al_backend.engine.rounds import Rounds
from pt4al_backend.engine.worker import Worker
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.jobs.folder import job_of
from pt4al_backend.jobs.spec import CompareSpec, FullSpec
from pt4al_backend.progress import Report
from pt4al_backend.state.paths import comparison_lease, project_dir
from pt4al_backend.state.schema import AnswerKind, Project
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer

TASKS = 120
PARAMS = {"encoder": "written"}
#: What the models answer to every image.
HEAD, FULL = "even", "odd"


class Site:
    """A project whose head answers ``HEAD`` to all images, and a fully trained model ``FULL``."""

    def __init__(self, folder: Path, studio: StubStudio) -> None:
        place = {"LABEL_STUDIO_URL": studio.url, "LABEL_STUDIO_API_KEY": "0" * 40}
        self.settings = ServerSettings(data_dir=folder, device="cpu", pretrained="off", **place)
        fill(self.settings, TASKS)
        self.stub, self.store = studio.projects[PROJECT], Store.open(self.settings)
        self.folder = project_dir(self.settings, Project(id=PROJECT))
        weights = {"encoder": "written", "sha256": "a" * 64, "features": 16, "licence": "mit", "source": "the test"}
        self._write(self.folder / "rank-1", HEAD, settings=PARAMS, weights=weights, network={})
        self._write(self.folder / "learn-1", HEAD)
        names = {name: f"{self.folder.relative_to(folder)}/{name}-1/result" for name in ("rank", "learn")}
        self.store.change(PROJECT, learner=names["rank"], model=names["learn"], learner_pool=TASKS, params=PARAMS)
        self.full_wins, self.failure = True, ""
        self.done: list[tuple[str, int]] = []
        self.rung: list[int] = []
        self.restart()
        self.look()

    def restart(self) -> None:
        """As a worker that has just started has it."""
        comparing = Comparing(Device(), self.rung.append, self)
        self.background = Insights(self.settings, self.store, [comparing.refresh], comparison_lease)

    def run(self, folder: Path, _: Report, on_tick: Callable[[], None]) -> Path:
        """The runner."""
        on_tick()
        job = job_of(folder)
        assert isinstance(job, CompareSpec | FullSpec)
        self.done.append((job.kind, job.labels))
        if isinstance(job, CompareSpec):
            found = {"images": job.labels, "head": 0.7, "full": 0.9 if self.full_wins else 0.6, "error": 0.05}
            with artefacts.writing(folder / "result", **found):
                pass
        elif self.failure:
            raise TrainingImpossible(self.failure)
        else:
            control = {"metric": "accuracy", "value": 0.9, "low": 0.8, "high": 0.95, "total": 20}
            self._write(folder, FULL, control=control, train_size=job.labels)
        return folder / "result"

    @staticmethod
    def _write(folder: Path, answer: str, **manifest: object) -> None:
        with artefacts.writing(folder / "result", **manifest) as draft:
            (draft / artefacts.WEIGHTS).write_bytes(b"weights")
            np.savez(draft / "candidates.npz", labels=np.full(TASKS, answer), least_confidence=np.full(TASKS, 0.75))
        np.save(folder / "candidate_ids.npy", np.arange(1, TASKS + 1))

    @property
    def project(self) -> Project:
        found = self.store.project(PROJECT)
        assert found is not None
        return found

    @property
    def full(self) -> Path:
        """The result of the fully trained model that the state names."""
        return self.settings.data_dir / self.project.full_model.model

    def look(self) -> None:
        Worker(self.settings, self.store).handle_request(PROJECT)
        assert self.project.error == ""

    def label(self, count: int) -> None:
        """Gives that many images a label in all, none of which the round waits for."""
        picked = {pick.task_id for pick in self.store.picks(PROJECT, 1)}
        tasks = [task for task in self.store.tasks(PROJECT).ids.tolist() if task not in picked]
        self.store.put_answers(PROJECT, dict.fromkeys(self.store.answers(PROJECT), StoredAnswer(AnswerKind.SKIP, "", stamp="a")))
        self.store.put_answers(PROJECT, dict.fromkeys(tasks[:count], StoredAnswer(AnswerKind.LABEL, "even", stamp="b")))

    def go_on(self, labels: int) -> None:
        """With so many labels, what the background has to do is done, each time with a look after it."""
        self.label(labels)
        while True:
            done = len(self.done)
            self.background.refresh(PROJECT)
            self.look()
            if len(self.done) == done:
                return

    def require(self, answer: str, mark: str = "") -> None:
        """All say that the model of this answer is served."""
        picks = [pick for pick in self.store.picks(PROJECT, 1) if pick.kind != "control"]
        assert {pick.label for pick in picks} == {answer}
        assert self.stub.served["model_version"].startswith(f"pt4al-r1-{mark}")
        assert ("full" in self.stub.served["model_version"]) == bool(mark)
        folder = served_model.folder(self.settings.data_dir, self.project)
        assert folder is not None
        assert folder.parent.name.startswith("full" if mark else "learn")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with StubStudio({PROJECT: StubProject(CONFIG, CONTROL, TASKS)}) as studio:
        site = Site(tmp_path / "data", studio)
        yield site
        site.store.close()


def test_winner_is_trained_again_when_labels_have_grown_by_a_quarter_and_compared_when_by_half(site: Site) -> None:
    for labels in (30, 37, 38, 45, 47, 48):
        site.go_on(labels)
        site.require(FULL, f"full{site.project.full_model.labels}")
    assert site.done == [("compare", 30), ("full", 30), ("full", 38), ("compare", 45), ("full", 48)]
    assert [path.name for path in site.folder.glob("full-*")] == ["full-3"]
    assert site.rung == [PROJECT] * len(site.done)


def test_head_that_wins_again_takes_over_again(site: Site) -> None:
    site.go_on(30)
    order = [pick.task_id for pick in site.store.picks(PROJECT, 1)]
    site.full_wins = False
    site.go_on(45)
    site.require(HEAD)
    assert site.project.notices["tuning"].endswith(": the head is served.")
    site.full_wins = True
    site.go_on(68)
    site.require(FULL, "full68")
    assert [pick.task_id for pick in site.store.picks(PROJECT, 1)] == order


@pytest.mark.parametrize("file", [artefacts.WEIGHTS, "candidates.npz", artefacts.MANIFEST])
def test_head_answers_while_a_damaged_winner_is_trained_again(site: Site, file: str) -> None:
    site.go_on(30)
    (site.full / file).write_bytes(b"damaged")
    assert served_model.folder(site.settings.data_dir, site.project) == site.folder / "learn-1" / "result"
    site.look()
    site.require(HEAD)
    site.go_on(30)
    site.require(FULL, "full30")
    assert site.done == [("compare", 30), ("full", 30), ("full", 30)]


@pytest.mark.parametrize("params", [{**PARAMS, "class_weights": "balanced"}, {**PARAMS, "tuning": "head"}])
def test_head_answers_once_the_winner_is_of_other_settings(site: Site, params: dict[str, str]) -> None:
    site.go_on(30)
    site.store.change(PROJECT, params=params)
    site.look()
    site.require(HEAD)
    assert "tuning" not in {topic for topic, said in site.project.notices.items() if said}


def test_winner_that_cannot_be_trained_is_not_served_and_tried_again_with_more_labels(site: Site) -> None:
    site.failure = "The loss is not finite."
    site.go_on(30)
    assert served_model.folder(site.settings.data_dir, site.project) == site.folder / "learn-1" / "result"
    assert "The head is served all the same" in site.project.notices["tuning"]
    assert site.failure in site.project.notices["tuning"]
    site.restart()
    site.go_on(37)
    assert site.done == [("compare", 30), ("full", 30)]
    site.failure = ""
    site.restart()
    site.go_on(38)
    site.require(FULL, "full38")


def test_training_that_was_cut_short_goes_on_with_the_labels_that_it_had(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(job: Path, *_: object, **__: object) -> None:
        raise OSError("killed")

    site.label(30)
    site.background.refresh(PROJECT)
    with monkeypatch.context() as patched:
        patched.setattr(site, "_write", killed)
        site.background.refresh(PROJECT)
    site.restart()
    site.go_on(44)
    assert site.done == [("compare", 30), ("full", 30), ("full", 30), ("full", 44)]
    site.require(FULL, "full44")


def test_look_that_was_killed_as_it_changed_the_model_is_made_up_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise OSError("killed")

    site.label(30)
    for _ in ("compared", "trained"):
        site.background.refresh(PROJECT)
    with monkeypatch.context() as patched:
        patched.setattr(Rounds, "answer_again", killed)
        Worker(site.settings, site.store).handle_request(PROJECT)
    assert site.project.full_model.labels == 30
    assert {pick.label for pick in site.store.picks(PROJECT, 1)} == {""}
    site.look()
    site.require(FULL, "full30")


def test_host_that_has_compared_nothing_serves_what_the_other_one_chose_while_it_fits(site: Site) -> None:
    site.go_on(30)
    said = site.project.notices["tuning"]
    shutil.rmtree(site.folder / "compare-1")
    site.look()
    site.require(FULL, "full30")
    assert site.project.notices["tuning"] == said
    site.store.change(PROJECT, params={**PARAMS, "class_weights": "balanced"})
    site.look()
    site.require(HEAD)
