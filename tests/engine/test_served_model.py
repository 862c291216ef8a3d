"""The model that wins the comparison is served: a blind encoder's head cannot tell images apart, which training it does."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from pt4al_backend import artefacts
from pt4al_backend.bench.numbers.stub_studio import StubProject, StubStudio
from pt4al_backend.config import ServerSettings
from pt4al_backend.engine import exports, served_model
from pt4al_backend.engine.device import Device
from pt4al_backend.engine.exports import Table
from pt4al_backend.engine.insights import background as insights
from pt4al_backend.engine.insights.background import Insights
from pt4al_backend.engine.model_choice import Comparing
from pt4al_backend.engine.snapshot import Snapshot
from pt4al_backend.engine.worker import Worker
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.jobs import network_job
from pt4al_backend.jobs.dispatch import work
from pt4al_backend.jobs.folder import prepare
from pt4al_backend.jobs.job import Job
from pt4al_backend.jobs.network_job import NetworkJob
from pt4al_backend.jobs.results import CANDIDATES
from pt4al_backend.jobs.run import sharing
from pt4al_backend.jobs.shared_jobs import SharedJobs
from pt4al_backend.jobs.spec import AnswerSpec
from pt4al_backend.learn.networks.body import LEAST_SIDE
from pt4al_backend.measures import Control
from pt4al_backend.progress import Report
from pt4al_backend.server.live_model import LiveModel
from pt4al_backend.server.requests import Task
from pt4al_backend.server.status import Statuses
from pt4al_backend.state.paths import comparison_lease, project_dir
from pt4al_backend.state.schema import Pick, Project
from pt4al_backend.state.store import Store
from tests.support.encoders import ENCODER, weights_dir
from tests.support.images import LABEL_CONFIG, arrow, class_of

pytestmark = pytest.mark.training

PROJECT, TASKS = 1, 60
#: Enough to learn what the blind encoder is blind to.
FAST = {"epochs": 24, "learning_rate": 0.2}
PARAMS = {"encoder": ENCODER, "strategy": "herding", "query_size": 40, "reserve_size": 8, "control_share": 0.17, **FAST}


class InProcess:
    """A runner that does jobs in this process, but for the first ones if some are to fail."""

    def __init__(self, failures: int = 0) -> None:
        self.failures, self.tried = failures, 0

    def run(self, folder: Path, report: Report, on_tick: Callable[[], None]) -> Path:
        on_tick()
        self.tried += 1
        if self.tried <= self.failures:
            raise TrainingImpossible("The process was killed.")
        work(NetworkJob.read(folder), report)
        return folder / "result"


def drawn(path: str) -> bytes:
    buffer = BytesIO()
    arrow(int(Path(path).stem)).save(buffer, "PNG")
    return buffer.getvalue()


class Site:
    """A project of arrows on a blind encoder: real looks, real jobs and real images, and a stub of Label Studio."""

    def __init__(self, folder: Path, studio: StubStudio) -> None:
        place = {"LABEL_STUDIO_URL": studio.url, "LABEL_STUDIO_API_KEY": "0" * 40}
        weights = weights_dir(folder / "weights", is_blind=True)
        place |= {"data_dir": folder / "data", "weights_dir": weights, "artefacts_url": f"file://{folder}/store"}
        self.settings = ServerSettings(device="cpu", pretrained="off", **place)
        self.fetched: list[str] = []  # images that somebody read
        self.stub, self.store = studio.projects[PROJECT], Store.open(self.settings)
        self.store.connect(PROJECT, label_config=LABEL_CONFIG, params=PARAMS, setup_at=4e9)
        for number in range(TASKS):
            self.stub.put(number + 1, f"/data/{number}.png")
        self.background = self.background_of(self.settings)

    def background_of(self, settings: ServerSettings, runner: InProcess | None = None) -> Insights:
        """What a host compares and trains beside the looks."""
        shared = sharing(runner or InProcess(), settings, SharedJobs.of(settings))
        return Insights(settings, self.store, [Comparing(Device(), lambda _: None, shared).refresh], comparison_lease)

    @property
    def project(self) -> Project:
        found = self.store.project(PROJECT)
        assert found is not None
        return found

    def look(self) -> None:
        Worker(self.settings, self.store, runner=InProcess()).handle_request(PROJECT)
        assert self.project.error == ""

    def label(self) -> None:
        for pick in self.store.picks(PROJECT, self.project.round):
            if pick.kind in ("query", "control"):
                self.stub.put(pick.task_id, f"/data/{pick.task_id - 1}.png", class_of(pick.task_id - 1))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(network_job, "LEAST_SIDE_FROZEN", LEAST_SIDE)  # a quarter of the pixels tells arrows apart as well
    stub = StubProject(LABEL_CONFIG, "colour", TASKS)
    fetched: list[str] = []

    def image(path: str) -> bytes:
        fetched.append(path)
        return drawn(path)

    with StubStudio({PROJECT: stub}, image) as studio:
        site = Site(tmp_path, studio)
        site.fetched = fetched
        yield site
        site.store.close()


def test_model_that_wins_answers_in_place_of_the_head_which_goes_on_asking(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.look()
    site.label()
    site.look()
    of_the_head = site.store.picks(PROJECT, 2)
    site.background.refresh(PROJECT)
    site.look()
    assert "trained on all labels in the background" in site.project.notices["tuning"]
    assert [pick.label for pick in site.store.picks(PROJECT, 2)] == [pick.label for pick in of_the_head]
    site.background.refresh(PROJECT)
    site.look()
    picks = site.store.picks(PROJECT, 2)
    assert [(pick.task_id, pick.kind, pick.score) for pick in picks] == [(p.task_id, p.kind, p.score) for p in of_the_head]
    shown = [pick for pick in picks if pick.kind != "control"]
    assert _right(shown) > _right(of_the_head)
    assert all(not pick.label for pick in picks if pick.kind == "control")
    labels = site.project.full_model.labels
    assert f"So the latter is served, trained on {labels} labels" in site.project.notices["tuning"]
    assert site.stub.served["model_version"].startswith(f"pt4al-r2-full{labels}-")
    # all who say which model is served agree
    status = Statuses(site.store, data_dir=site.settings.data_dir).find(str(PROJECT))
    assert (status.served.kind, status.served.labels, status.control) == ("full", labels, site.project.full_model.control)
    model = site.settings.data_dir / site.project.full_model.model
    manifest = artefacts.manifest(model)
    assert manifest["settings"]["tuning"] == "full"
    assert status.control == Control.model_validate(manifest["control"])
    assert served_model.folder(site.settings.data_dir, site.project) == model
    snapshot = Snapshot.of(site.settings, site.store, site.project)
    (table,) = exports.parts(snapshot, Table.PREDICTIONS)
    answered = dict(zip(table["task"].tolist(), table["answer"], strict=True))
    assert len(answered) == TASKS
    assert {pick.task_id: pick.label for pick in shown}.items() <= answered.items()
    live = LiveModel(site.settings).predict(site.project, snapshot.reader, _opened(5), time.monotonic() + 60)
    assert {task: str(found.answer) for task, found in live.items()} == {task: answered[task] for task in live}
    assert len(live) == 5
    _another_host_goes_by_the_same_comparison(site)
    _images_that_come_later_are_answered_by_it(site)
    _images_that_trickle_in_fill_no_disk(site)
    _answers_of_an_earlier_version_are_given_again(site)
    _answers_that_could_not_be_given_are_tried_again_after_a_while(site, monkeypatch)
    _model_that_the_next_look_replaces_answers_nothing_more(site)


def _another_host_goes_by_the_same_comparison(site: Site) -> None:
    """It trains none of its own, though its data folder is another one, and gets frames and features by the store."""
    before, notice = site.project.full_model, site.project.notices["tuning"]
    site.fetched.clear()
    other = site.settings.model_copy(update={"data_dir": site.settings.data_dir.with_name("other")})
    Worker(other, site.store, runner=InProcess()).handle_request(PROJECT)
    site.background_of(other).refresh(PROJECT)
    assert (site.project.full_model, site.project.notices["tuning"]) == (before, notice)
    names = {path.name for kind in ("compare", "full") for path in project_dir(other, site.project).glob(f"{kind}-*")}
    assert names == {Path(name).parent.name for name in (before.model, before.comparison)}
    assert served_model.folder(other.data_dir, site.project) == other.data_dir / before.model
    assert site.fetched == []
    with Snapshot.of(other, site.store, site.project).features() as features:
        assert features is not None
        assert len(features) == TASKS


def _images_that_come_later_are_answered_by_it(site: Site) -> None:
    """The first of them is shown without an answer until the background has one, and then in a version of the same model.

    Another image of a task that is known is answered as well.
    """
    changed = next(pick.task_id for pick in site.store.picks(PROJECT, 2) if pick.kind == "query")
    image_of = {task: f"/data/{task - 1}.png" for task in range(TASKS + 1, TASKS + 9)} | {changed: f"/data/{TASKS + changed}.png"}
    later = sorted(image_of.keys() - {changed})
    for task, image in image_of.items():
        site.stub.put(task, image)
    site.store.change(PROJECT, full_sync_at=0.0)
    site.look()
    site.store.choose(PROJECT, [later[0]], "Ann")
    site.look()
    before = site.stub.served["model_version"]
    assert _first(site) == (later[0], "")
    site.background.refresh(PROJECT)
    site.look()
    assert site.stub.served["model_version"] != before
    assert site.stub.served["model_version"].startswith(f"pt4al-r2-full{site.project.full_model.labels}-")
    snapshot = Snapshot.of(site.settings, site.store, site.project)
    (table,) = exports.parts(snapshot, Table.PREDICTIONS)
    answered = dict(zip(table["task"].tolist(), table["answer"], strict=True))
    assert set(later) <= answered.keys()
    assert _first(site) == (later[0], answered[later[0]])
    opened = [Task(id=task, data={"image": image}) for task, image in image_of.items()]
    live = LiveModel(site.settings).predict(site.project, snapshot.reader, opened, time.monotonic() + 60)
    assert {task: str(found.answer) for task, found in live.items()} == {task: answered[task] for task in image_of}
    assert answered[changed] == class_of(TASKS + changed) != class_of(changed - 1)
    assert {pick.task_id: pick.label for pick in site.store.picks(PROJECT, 2)}[changed] == answered[changed]
    site.background.refresh(PROJECT)
    site.look()
    model = site.settings.data_dir / site.project.full_model.model
    assert [folder.name for folder in model.parent.glob("answer-*")] == ["answer-1"]


def _images_that_trickle_in_fill_no_disk(site: Site) -> None:
    """Each time the job before is kept for those who read it, and none before that; nothing that was answered is forgotten."""
    model = site.settings.data_dir / site.project.full_model.model
    known = set(range(1, TASKS + 9))
    for number in (2, 3, 4):
        task = TASKS + 7 + number
        site.stub.put(task, f"/data/{task - 1}.png")
        site.store.change(PROJECT, full_sync_at=0.0)
        site.look()
        site.background.refresh(PROJECT)
        assert {folder.name for folder in model.parent.glob("answer-*")} == {f"answer-{number - 1}", f"answer-{number}"}
        known.add(task)
        assert set(served_model.all_answers(model).ids.tolist()) == known


def _answers_of_an_earlier_version_are_given_again(site: Site) -> None:
    """It kept those of each job apart, and no rows beside them."""
    model = site.settings.data_dir / site.project.full_model.model
    known = served_model.all_answers(model).ids.tolist()
    for number in (3, 4):
        folder = model.parent / f"answer-{number}"
        job, rows, ids = (
            Job[AnswerSpec].read(folder),
            *(np.load(folder / f"{name}.npy") for name in ("candidates", "candidate_ids")),
        )
        prepare(folder, job.spec.model_copy(update={"previous": None}), candidates=rows, candidate_ids=ids)
        with artefacts.writing(folder / "result", fingerprint=Job.read(folder).fingerprint, images=len(ids)) as result:
            np.savez(result / CANDIDATES, labels=np.full(len(ids), "red"), least_confidence=np.ones(len(ids)))
    site.background_of(site.settings).refresh(PROJECT)
    assert served_model.all_answers(model).ids.tolist() == known
    assert [folder.name for folder in model.parent.glob("answer-*")] == ["answer-4"]
    unused = InProcess()
    site.background_of(site.settings, unused).refresh(PROJECT)
    assert unused.tried == 0


def _answers_that_could_not_be_given_are_tried_again_after_a_while(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As all that is computed in the background is."""
    monkeypatch.setattr(insights, "RETRY_SECONDS", 0.0)
    model, task = site.settings.data_dir / site.project.full_model.model, TASKS + 12
    site.stub.put(task, f"/data/{task - 1}.png")
    site.store.change(PROJECT, full_sync_at=0.0)
    site.look()
    background = site.background_of(site.settings, InProcess(failures=1))
    for is_answered in (False, True):
        background.refresh(PROJECT)
        assert (task in served_model.all_answers(model).ids) is is_answered


def _model_that_the_next_look_replaces_answers_nothing_more(site: Site) -> None:
    """That look deletes its folder, with all that is done there."""
    site.stub.put(TASKS + 13, f"/data/{TASKS + 12}.png")
    site.store.change(PROJECT, full_sync_at=0.0)
    site.look()
    old = (site.settings.data_dir / site.project.full_model.model).parent
    new = shutil.copytree(old, old.with_name("full-2"))
    site.background.refresh(PROJECT)
    assert {folder.name for folder in old.glob("answer-*")} == {"answer-4", "answer-5"}
    site.look()
    site.background.refresh(PROJECT)
    assert not old.exists()
    assert (new / "answer-6").exists()


def _first(site: Site) -> tuple[int, str]:
    """The first pick of the open round, and what is said of it."""
    pick = site.store.picks(PROJECT, site.project.round)[0]
    return pick.task_id, pick.label


def _opened(count: int) -> list[Task]:
    """Tasks as Label Studio sends them when somebody opens them."""
    return [Task(id=number + 1, data={"image": f"/data/{number}.png"}) for number in range(count)]


def _right(picks: Sequence[Pick]) -> float:
    return sum(pick.label == class_of(pick.task_id - 1) for pick in picks) / len(picks)
