"""Trainings take turns at a device, and no look waits for it: in one worker, and in two of one host."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pt4al_backend.bench.numbers.looking import CONFIG, CONTROL, fill
from pt4al_backend.bench.numbers.stub_studio import StubProject, StubStudio
from pt4al_backend.config import ServerSettings
from pt4al_backend.engine import device as device_module
from pt4al_backend.engine import intake
from pt4al_backend.engine.device import Device
from pt4al_backend.engine.work_queue import WorkQueue
from pt4al_backend.engine.worker import Worker
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.state.schema import AnswerKind, Project, RoundState
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support.images import arrow, encoded
from tests.support.servers import wait_until

SECONDS = 60.0
TASKS = 60

#: A worker whose trainings last until a file lets them go. Without a project to look at, it takes its requests from the queue.
WORKER = """
import sys, time
from pathlib import Path
from pt4al_backend.config import server_settings
from pt4al_backend.engine.device import Device
from pt4al_backend.engine.work_queue import WorkQueue
from pt4al_backend.engine.worker import Worker
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.state.store import Store

settings = server_settings()
folder = settings.data_dir

def note(words):
    with (folder / "notes").open("a") as file:
        file.write(words + "\\n")

class Slow:
    def run(self, job, on_progress, on_tick):
        note(f"begin {job.parent.name}")
        while not (folder / f"go {job.parent.name}").exists():
            on_tick()
            time.sleep(0.05)
        note(f"end {job.parent.name}")
        raise TrainingImpossible("It was let go.")

store, queue = Store.open(settings), WorkQueue(settings)
worker = Worker(settings, store, Slow(), device=Device("fake GPU", [folder / "leases"]), doorbell=queue.request)
if len(sys.argv) > 1:
    worker.handle_request(int(sys.argv[1]))
else:
    queue.consume(worker.handle_request, store.driven_ids)
"""


class Site:
    """Projects on a stub of Label Studio, and workers for them; 1 and 2 have a round that is answered, so that a training is due.

    The worker does not poll again while a test runs.
    """

    def __init__(self, folder: Path, studio: StubStudio) -> None:
        place = {"LABEL_STUDIO_URL": studio.url, "LABEL_STUDIO_API_KEY": "0" * 40}
        self.settings = ServerSettings(data_dir=folder, device="cpu", pretrained="off", **place)
        self.studio = studio
        self.store = Store.open(self.settings)
        self.queue = WorkQueue(self.settings)
        self.processes: list[subprocess.Popen[bytes]] = []

    def add(self, project: int, *, answered: bool) -> list[int]:
        """A project with a ranked pool and an open round; returns what of its query is not answered."""
        self.studio.projects[project] = StubProject(CONFIG, CONTROL, TASKS)
        waiting = fill(self.settings, TASKS, project)
        if answered:
            picks = self.store.picks(project, 1)
            rest = {pick.task_id: StoredAnswer(AnswerKind.LABEL, "odd", stamp="read") for pick in picks}
            self.store.put_answers(project, {task: rest[task] for task in rest if task not in self.store.answers(project)})
        return waiting

    def connect_new(self, project: int) -> StubProject:
        """A project of which nothing was read yet."""
        self.studio.projects[project] = new = StubProject(CONFIG, CONTROL, TASKS)
        for task in range(1, TASKS + 1):
            new.put(task, f"/data/upload/{project}/{task}.png")
        self.store.connect(project, label_config=CONFIG, setup_at=time.time() + 86_400)
        return new

    def work(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts a worker."""
        place = {"PT4AL_DATA_DIR": str(self.settings.data_dir), "PT4AL_DEVICE": "cpu", "PT4AL_PRETRAINED": "off"}
        studio = {"LABEL_STUDIO_URL": self.studio.url, "LABEL_STUDIO_API_KEY": "0" * 40}
        threads = {"PT4AL_WORKERS": "2", "PT4AL_POLL_SECONDS": "3600"}
        self.processes.append(
            subprocess.Popen([sys.executable, "-c", WORKER, *arguments], env={**os.environ, **place, **studio, **threads})
        )
        return self.processes[-1]

    def look(self, project: int) -> None:
        """One look by a worker of its own, which must not last."""
        assert self.work(str(project)).wait(SECONDS) == 0

    def let_go(self, project: int) -> None:
        """Ends a training of a project, the present one or the next."""
        (self.settings.data_dir / f"go {project}").touch()

    def wait_for_note(self, words: str) -> None:
        wait_until(lambda: words in self.notes(), SECONDS, words)

    def notes(self) -> list[str]:
        path = self.settings.data_dir / "notes"
        return path.read_text().splitlines() if path.exists() else []

    def project(self, number: int) -> Project:
        found = self.store.project(number)
        assert found is not None
        return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with StubStudio({}, lambda path: encoded(arrow(int(Path(path).stem)))) as studio:
        site = Site(tmp_path / "data", studio)
        try:
            yield site
        finally:
            for process in site.processes:
                process.kill()
                process.wait()
            site.store.close()


def test_others_are_served_while_one_trains_and_train_when_it_has_ended(site: Site) -> None:
    site.add(1, answered=True)
    waiting = site.add(2, answered=False)
    site.work()
    site.wait_for_note("begin 1")
    # a project that comes new: its first round is opened, and its ranking waits for the device
    new = site.connect_new(3)
    site.queue.request(3)
    wait_until(lambda: site.project(3).phase == "waiting for the device", SECONDS, "the new project waits for the device")
    first = site.store.round(3, 1)
    assert first is not None
    assert first.state == RoundState.STARTING
    assert new.imported == site.store.pick_count(3, 1) > 0
    # answers of another are taken over, and its queue is lengthened
    two, picks = site.studio.projects[2], site.store.picks(2, 1)
    reserve = [pick.task_id for pick in picks if pick.kind == PickKind.RESERVE]
    for task in [*waiting[1:], *reserve]:
        two.put(task, f"{task}.png", "odd")
    site.queue.request(2)
    wait_until(lambda: two.imported > len(picks), SECONDS, "the queue of the second project is longer")
    assert set(reserve) <= site.store.answers(2).keys()
    # so is the new one, again and again
    labelled = site.store.picks(3, 1)[0].task_id
    new.put(labelled, f"/data/upload/3/{labelled}.png", "even")
    site.queue.request(3)
    wait_until(lambda: site.store.counts(3)["labelled"] == 1, SECONDS, "the new project's label is taken over")
    assert site.project(3).phase == "waiting for the device"
    for project in (1, 2, 3) * 50:
        site.queue.request(project)
    assert site.queue.waiting() <= 3
    assert site.notes() == ["begin 1"]
    site.let_go(1)
    site.wait_for_note("begin 3")  # rung for: no poll comes in this hour
    assert site.project(3).device_wanted_at is None


def test_project_that_has_waited_longest_is_rung_for_first(site: Site) -> None:
    for project, since in ((1, None), (2, 7.0), (3, 5.0), (4, 6.0)):
        site.store.connect(project)
        site.store.change(project, device_wanted_at=since)
    site.store.change(4, let_go_at=1.0)
    assert site.store.waiting_for_device() == [3, 2]


def test_two_workers_of_one_host_do_not_train_on_one_gpu_at_once(site: Site) -> None:
    site.add(1, answered=True)
    site.add(2, answered=True)
    site.work("1")
    site.wait_for_note("begin 1")
    site.look(2)
    assert site.project(2).phase == "waiting for the device"
    assert site.notes() == ["begin 1"]
    site.let_go(1)
    site.let_go(2)
    assert site.processes[0].wait(SECONDS) == 0
    site.look(2)
    assert site.notes() == ["begin 1", "end 1", "begin 2", "end 2"]


def test_killed_worker_leaves_the_gpu_to_others(site: Site) -> None:
    site.add(1, answered=True)
    site.add(2, answered=True)
    killed = site.work("1")
    site.wait_for_note("begin 1")
    killed.kill()
    killed.wait()
    site.let_go(2)
    site.look(2)
    assert site.notes() == ["begin 1", "begin 2", "end 2"]


def test_device_that_is_not_wanted_any_more_is_not_waited_for(site: Site) -> None:
    site.add(1, answered=True)
    waiting = site.add(2, answered=True)
    site.work("1")
    site.wait_for_note("begin 1")
    site.look(2)
    site.store.put_answers(2, {waiting[0]: StoredAnswer(AnswerKind.NONE)})
    site.look(2)
    assert (site.project(2).phase, site.project(2).device_wanted_at) == ("labelling", None)


@pytest.fixture
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A project fetches 25 images before others get their turn."""
    monkeypatch.setattr(intake, "CHUNK", 25)
    monkeypatch.setattr(intake, "TURN_SECONDS", 0.0)


@pytest.mark.usefixtures("short_turns")
def test_project_with_many_images_gives_others_their_turn(site: Site) -> None:
    site.connect_new(3)
    device, rung, turns = Device(), list[int](), list[tuple[int, str]]()
    with device.hold():  # so that nothing is ranked
        worker = Worker(site.settings, site.store, device=device, doorbell=rung.append)
        while len(rung) == len(turns):
            worker.handle_request(3)
            turns.append((site.store.counts(3)["fetched"], site.project(3).phase))
    assert turns == [(25, "fetching images"), (50, "fetching images"), (60, "waiting for the device")]
    assert rung == [3, 3]


@pytest.mark.usefixtures("short_turns")
def test_worker_without_a_doorbell_goes_on_by_itself(site: Site) -> None:
    site.connect_new(3)
    device = Device()
    with device.hold():
        Worker(site.settings, site.store, device=device).handle_request(3)
    assert site.store.counts(3)["fetched"] == TASKS


# which device


def is_free(device: Device) -> bool:
    with device.hold() as free:
        return free


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Device]:
    """The device of a worker with a GPU, in a data folder of its own or a shared one."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    for number in range(2):
        folder = tmp_path / "gpus" / f"0000:{number}7:00.0"
        folder.mkdir(parents=True)
        (folder / "information").write_text(f"Model: \t\t Fake\nGPU UUID: \t GPU-{number}\nBus Type: \t PCIe\n")
    monkeypatch.setattr(device_module, "GPUS", tmp_path / "gpus")

    def make(folder: str, visible: str = "") -> Device:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        return Device.of(ServerSettings(data_dir=tmp_path / folder, device="cuda"))

    return make


def test_gpu_is_shared_by_workers_of_one_and_of_several_data_folders(gpu: Callable[..., Device]) -> None:
    with gpu("a").hold() as free:
        assert free
        assert [is_free(gpu("a")), is_free(gpu("b"))] == [False, False]
    assert is_free(gpu("b"))


def test_gpu_is_shared_where_only_the_data_folder_is(
    gpu: Callable[..., Device], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by containers, each of which has temporary files of its own."""
    with gpu("a").hold():
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "another tmp"))
        assert not is_free(gpu("a"))


def test_each_gpu_has_a_lock_of_its_own_by_whichever_name_it_is_chosen(gpu: Callable[..., Device]) -> None:
    with gpu("a", "1,0").hold():
        assert [is_free(gpu("a", name)) for name in ("0", "1", "GPU-0", "GPU-1")] == [True, False, True, False]


def test_cpu_is_shared_by_worker_processes_and_not_within_one(settings: ServerSettings) -> None:
    one, another = Device.of(settings), Device.of(settings)
    with one.hold() as free:
        assert free
        assert [is_free(one), is_free(another)] == [False, True]


def test_folder_that_somebody_else_put_in_place_is_not_used_and_said(
    gpu: Callable[..., Device], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "target").mkdir()
    (tmp_path / "tmp" / f"pt4al-{os.getuid()}").symlink_to(tmp_path / "target")
    with gpu("a").hold() as free:
        assert free
        assert not list((tmp_path / "target").iterdir())
        assert not is_free(gpu("a"))
    assert "is not a folder that this user made" in caplog.text
