"""Head and full training are compared beside the looks: when labels have grown by half, and never in the way of another job."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pt4al_backend import artefacts
from pt4al_backend.bench.numbers.looking import PROJECT, fill
from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.device import Device
from pt4al_backend.engine.insights.background import Insights
from pt4al_backend.engine.model_choice import Comparing, sentence
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.jobs.folder import job_of
from pt4al_backend.jobs.spec import CompareSpec
from pt4al_backend.learn.frozen.comparison import Comparison
from pt4al_backend.measures import FullModel
from pt4al_backend.progress import Report
from pt4al_backend.state.paths import comparison_lease, project_dir
from pt4al_backend.state.schema import AnswerKind, Project
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support.layouts import write_learner

TASKS = 120


class Site:
    """A ranked project on a pretrained encoder, and a runner that notes how many labels each comparison has."""

    def __init__(self, settings: ServerSettings) -> None:
        fill(settings, TASKS)
        self.settings, self.store = settings, Store.open(settings)
        self.folder = project_dir(settings, Project(id=PROJECT))
        learner = write_learner(self.folder / "rank-1" / "result", "written", "a" * 64, 16)
        self.store.change(PROJECT, learner=str(learner.relative_to(settings.data_dir)), params={"encoder": "written"})
        self.compared: list[int] = []
        self.rung: list[int] = []
        self.device = Device()
        self.insights = self.restarted()

    def restarted(self) -> Insights:
        """As a worker that has just started has it."""
        comparing = Comparing(self.device, self.rung.append, self)
        self.insights = Insights(self.settings, self.store, [comparing.refresh], comparison_lease)
        return self.insights

    def run(self, folder: Path, _: Report, on_tick: Callable[[], None]) -> Path:
        """The runner."""
        job = job_of(folder)
        assert isinstance(job, CompareSpec)
        self.compared.append(job.labels)
        self.meanwhile()
        on_tick()
        with artefacts.writing(folder / "result", images=job.labels, head=0.8, full=0.8, error=0.1):
            pass
        return folder / "result"

    def meanwhile(self) -> None:
        """What happens while a comparison runs."""

    def label(self, count: int) -> None:
        """Gives that many images a label in all, none of which is a control pick's."""
        controls = set(self.store.control_ids(PROJECT).tolist())
        tasks = [task for task in self.store.tasks(PROJECT).ids.tolist() if task not in controls]
        self.store.put_answers(PROJECT, dict.fromkeys(self.store.answers(PROJECT), StoredAnswer(AnswerKind.SKIP, "", stamp="a")))
        self.store.put_answers(PROJECT, dict.fromkeys(tasks[:count], StoredAnswer(AnswerKind.LABEL, "even", stamp="b")))

    def refresh(self) -> None:
        self.insights.refresh(PROJECT)


@pytest.fixture
def site(settings: ServerSettings) -> Iterator[Site]:
    site = Site(settings)
    yield site
    site.store.close()


def test_comparison_waits_for_labels_and_for_half_as_many_more(site: Site) -> None:
    for labels in (29, 30, 30, 44, 45):
        site.label(labels)
        site.refresh()
    assert site.compared == [30, 45]
    assert [path.name for path in site.folder.glob("compare-*")] == ["compare-2"]


@pytest.mark.parametrize("params", [{"encoder": "written", "tuning": "head"}, {"encoder": "resnet18"}])
def test_project_that_has_nothing_to_choose_compares_nothing(site: Site, params: dict[str, str]) -> None:
    site.store.change(PROJECT, params=params)
    site.label(60)
    site.refresh()
    assert site.compared == []


def test_labels_that_come_meanwhile_wait_for_the_next_comparison(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.label(30)
    with monkeypatch.context() as patched:
        patched.setattr(site, "meanwhile", lambda: site.label(50))
        site.refresh()
    site.refresh()
    assert site.compared == [30, 50]


def test_comparison_that_was_killed_goes_on_with_the_labels_that_it_had(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def die() -> None:
        raise OSError("killed")

    site.label(30)
    with monkeypatch.context() as patched:
        patched.setattr(site, "meanwhile", die)
        site.refresh()
    site.label(40)
    site.restarted().refresh(PROJECT)
    assert site.compared == [30, 30]


def test_comparison_leaves_the_device_to_a_training_that_wants_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.label(30)
    with site.device.hold():
        site.refresh()
    assert site.compared == []
    with monkeypatch.context() as patched:
        patched.setattr(site, "meanwhile", lambda: site.store.change(PROJECT, device_wanted_at=time.time()))
        site.refresh()
    assert (site.compared, site.rung[-1]) == ([30], PROJECT)
    with site.device.hold() as is_free:
        assert is_free
    site.store.change(PROJECT, device_wanted_at=None)
    site.refresh()
    assert site.compared == [30, 30]


def test_sentence_says_which_model_is_served_and_why() -> None:
    won, lost = Comparison(40, 0.7, 0.9, 0.05), Comparison(40, 0.7, 0.72, 0.05)
    assert "So the latter is served, trained on 41 labels" in sentence(won, "classification", FullModel(model="m", labels=41))
    assert sentence(won, "classification", FullModel()).endswith("until then the head is.")
    assert sentence(won, "classification", FullModel(), "No memory.").endswith("could not be trained: No memory.")
    assert sentence(lost, "multilabel", FullModel()).endswith("on 72.0%, which may be chance: the head is served.")
    worse = Comparison(40, 0.72, 0.7, 0.05)
    assert sentence(worse, "classification", FullModel()).endswith("on 70.0%: the head is served.")


def test_comparison_that_cannot_be_made_is_tried_again_with_more_labels(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise TrainingImpossible("The loss is not finite.")

    monkeypatch.setattr(site, "meanwhile", fail)
    site.label(30)
    for _ in range(2):
        site.restarted()
        site.refresh()
    assert site.compared == [30]
    monkeypatch.setattr(site, "meanwhile", lambda: None)
    site.label(45)
    site.restarted()
    site.refresh()
    assert site.compared == [30, 45]
