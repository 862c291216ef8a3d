"""The map's layout is kept up to date beside the looks: drawn where there are features, joined by later ones, never twice."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from pt4al_backend.bench.numbers.looking import PROJECT, SIZE, fill
from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.insights import map_layout
from pt4al_backend.engine.insights.background import Insights
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.jobs.folder import locked
from pt4al_backend.jobs.job import Job
from pt4al_backend.jobs.layout import LaidOut, lay_out, newest
from pt4al_backend.progress import Report
from pt4al_backend.state.paths import frames_path, map_lease, project_dir
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import Store
from tests.support.layouts import Described, write_learner

TASKS = 60


class Site(Described):
    """A project with an open round whose features are written, and a runner that lays it out in this process."""

    shape = (SIZE, SIZE)

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        fill(settings, TASKS)
        self.store = Store.open(settings)
        super().__init__(project_dir(settings, Project(id=PROJECT)))
        self.frames.close()
        self.frames = FrameFile(frames_path(settings, self.project), self.shape)
        learner = write_learner(self.folder / "rank-1" / "result", self.encoder, self.digest, self.width)
        self.store.change(PROJECT, learner=str(learner.relative_to(settings.data_dir)), params={"encoder": self.encoder})
        self.runs: list[str] = []
        self.insights = Insights(settings, self.store, [partial(map_layout.refresh, runner=self)])

    def run(self, folder: Path, on_progress: Report, on_tick: Callable[[], None]) -> Path:
        """The runner."""
        self.runs.append(folder.name)
        self.begin(on_tick)
        lay_out(Job.read(folder), on_progress)
        return folder / "result"

    def begin(self, on_tick: Callable[[], None]) -> None:
        """What happens when a job begins."""
        on_tick()

    def refresh(self) -> None:
        self.insights.refresh(PROJECT)

    @property
    def project(self) -> Project:
        found = self.store.project(PROJECT)
        assert found is not None
        return found

    def laid_out(self) -> int:
        """Images on the newest map; 0 if there is none."""
        result = newest(self.folder)
        return len(LaidOut.load(result).tasks) if result else 0


@pytest.fixture
def site(settings: ServerSettings) -> Iterator[Site]:
    site = Site(settings)
    yield site
    site.frames.close()
    site.store.close()


def test_map_is_drawn_once_there_are_features_and_not_again(site: Site) -> None:
    site.refresh()
    assert site.runs == []
    site.describe(0, TASKS)
    site.refresh()
    assert site.laid_out() == TASKS
    site.refresh()
    assert site.runs == ["layout-1"]


def test_later_features_join_and_the_map_before_is_deleted(site: Site) -> None:
    site.describe(0, TASKS - 10)
    site.refresh()
    assert site.laid_out() == TASKS - 10
    site.describe(TASKS - 10, TASKS)
    site.refresh()
    assert site.laid_out() == TASKS
    assert [path.name for path in site.folder.glob("layout-*")] == ["layout-2"]


def test_map_that_cannot_be_drawn_is_said_and_tried_again_with_other_features(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise TrainingImpossible("The ink is used up.", "Buy some.")

    site.describe(0, TASKS - 1)
    with monkeypatch.context() as patched:
        patched.setattr(site, "begin", fail)
        site.refresh()
    assert map_layout.problem(site.folder) == "The ink is used up. Buy some."
    site.describe(TASKS - 1, TASKS)
    Insights(site.settings, site.store, [partial(map_layout.refresh, runner=site)]).refresh(PROJECT)
    assert map_layout.problem(site.folder) == ""
    assert site.laid_out() == TASKS


def test_map_of_a_project_that_is_forgotten_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def forget(on_tick: Callable[[], None]) -> None:
        site.store.forget(site.store.project(PROJECT))
        on_tick()

    monkeypatch.setattr(site, "begin", forget)
    site.describe(0, TASKS)
    site.refresh()
    assert (site.runs, site.laid_out()) == (["layout-1"], 0)


def test_project_whose_ranking_described_no_images_has_no_map(site: Site) -> None:
    site.describe(0, TASKS)
    site.store.change(PROJECT, params={"encoder": "resnet18"})
    site.refresh()
    assert site.runs == []


def test_job_that_an_orphan_does_is_left_alone(site: Site) -> None:
    folder = site.folder / "layout-1"
    folder.mkdir()
    site.describe(0, TASKS)
    with locked(folder, wait=True):
        site.refresh()
    assert site.runs == []
    site.refresh()
    assert site.laid_out() == TASKS


@pytest.mark.training
def test_map_is_drawn_in_a_child_process(site: Site) -> None:
    site.describe(0, TASKS)
    Insights(site.settings, site.store, [map_layout.refresh], map_lease).refresh(PROJECT)
    assert site.laid_out() == TASKS
