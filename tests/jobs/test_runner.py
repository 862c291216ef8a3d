"""What every runner promises: progress and errors come back, and a job whose process was killed is resumed."""

import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil
import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.errors import RunnerUnavailable, TrainingImpossible
from pt4al_backend.jobs.folder import locked, prepare, result_of
from pt4al_backend.jobs.run import LocalRunner, RayRunner, Runner, node, restarts, runner_of
from pt4al_backend.jobs.run.node import TICK_SECONDS, Silence
from pt4al_backend.jobs.run.ray import QUIET
from pt4al_backend.jobs.spec import JobKind
from pt4al_backend.ops.doctor import examine
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress
from pt4al_backend.query.confidence import SAMPLERS
from tests.support import pools
from tests.support.pools import ARROWS, SCENES, Pool, description, labelled
from tests.support.servers import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A Ray cluster of two processors and no GPU, on this machine."""
    ray = pytest.importorskip("ray", reason="needs the extra ray")
    options = {"include_dashboard": False, "log_to_driver": False, "configure_logging": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Ray itself, and of what it imports
        with pytest.MonkeyPatch.context() as environment:
            for name, value in {**QUIET, "LABEL_STUDIO_API_KEY": "token-of-the-admin"}.items():
                environment.setenv(name, value)
            ray.init(num_cpus=2, num_gpus=0, object_store_memory=80 * 2**20, **options)
        yield
        ray.shutdown()


@pytest.fixture(params=["local", "ray"])
def runner(request: pytest.FixtureRequest) -> Runner:
    if request.param == "ray":
        request.getfixturevalue("cluster")
    return runner_of(ServerSettings(runner=request.param))


def children_of(folder: Path) -> list[psutil.Process]:
    """The processes that do the job in a folder, wherever its runner has them."""
    command = ["pt4al_backend.jobs.child", str(folder)]
    return [process for process in psutil.process_iter(["cmdline"]) if (process.info["cmdline"] or [])[-2:] == command]


@pytest.fixture
def pixels(tmp_path: Path) -> Path:
    return pools.arrows(tmp_path / "pixels.u8", 24)


def rows(*numbers: int) -> np.ndarray[Any, Any]:
    return np.array(numbers, np.int64)


def nothing(*_: object) -> None:
    return None


def test_ray_that_is_missing_or_not_there_is_named_with_what_to_do(
    tmp_path: Path, pixels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path / "rank", description(JobKind.RANK, pixels), rows=np.arange(24))
    if find_spec("ray") is not None:
        with pytest.raises(RunnerUnavailable, match=r"No Ray cluster answers at 127\.0\.0\.1:1 .*PT4AL_RAY_ADDRESS"):
            RayRunner("127.0.0.1:1").run(tmp_path / "rank", nothing, nothing)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RunnerUnavailable, match=r"not installed.*\[ray\].*PT4AL_RUNNER=local"):
        RayRunner().run(tmp_path / "rank", nothing, nothing)


def test_job_reports_progress_ticks_and_leaves_its_result(runner: Runner, tmp_path: Path, pixels: Path) -> None:
    folder, ticks = tmp_path / "rank", []
    events: list[Progress] = []
    prepare(folder, description(JobKind.RANK, pixels), rows=np.arange(24))
    result = runner.run(folder, events.append, lambda: ticks.append(1))
    assert np.isfinite(np.load(result / "losses.npy")).all()
    assert (events[-1].phase, events[-1].share) == (Phase.SCORING, 1.0)
    assert ticks
    assert result_of(folder) == result


def test_finished_job_is_not_done_again(tmp_path: Path, pixels: Path) -> None:
    folder, events = tmp_path / "rank", []
    prepare(folder, description(JobKind.RANK, pixels), rows=np.arange(8))
    LocalRunner().run(folder, nothing, nothing)
    LocalRunner().run(folder, events.append, nothing)
    assert events == []


def training_data(folder: Path, store: Path, pool: Pool = ARROWS, **changes: Any) -> Path:
    """A job that learns 16 images and looks at six others."""
    train, control = (labelled(store, chosen, pool) for chosen in (np.arange(16), rows(16, 17)))
    job = description(JobKind.LEARN, store, pool, **changes)
    prepare(folder, job, train=train, control=control, candidates=np.arange(18, 24))
    return folder


def killed_in(folder: Path, phase: str, runner: Runner | None = None) -> Path:
    """Runs a job whose child is killed once, in a phase; its result."""
    killed = threading.Event()

    def kill_once(progress: Progress) -> None:
        if progress.phase == phase and progress.epoch and not killed.is_set():
            killed.set()
            for child in children_of(folder):
                os.kill(child.pid, signal.SIGKILL)

    result = (runner or LocalRunner()).run(folder, kill_once, nothing)
    assert killed.is_set()
    return result


@pytest.mark.parametrize("pool", [ARROWS, SCENES], ids=lambda pool: pool.task)
def test_killed_child_is_resumed(tmp_path: Path, pool: Pool) -> None:
    folder = training_data(tmp_path / "learn", pool.store(tmp_path / "pixels.u8", 24), pool)
    with np.load(killed_in(folder, "training") / "candidates.npz") as scored:
        assert {name: values.shape for name, values in scored.items()} == dict.fromkeys([*SAMPLERS, "labels"], (6,))
    assert not (folder / "scratch").exists()


def test_killed_process_is_resumed_by_every_runner(runner: Runner, tmp_path: Path, pixels: Path) -> None:
    result = killed_in(training_data(tmp_path / "learn", pixels), "training", runner)
    assert result_of(tmp_path / "learn") == result


def test_process_that_is_stopped_is_killed_and_its_job_resumed(
    tmp_path: Path, pixels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, notes, stopped = training_data(tmp_path / "learn", pixels), [], list[int]()

    def hangs(_: Silence) -> bool:
        return any(child.status() == psutil.STATUS_STOPPED for child in children_of(folder))

    def stop_once(progress: Progress) -> None:
        notes.append(progress.note)
        if progress.epoch and not stopped:
            stopped.extend(child.pid for child in children_of(folder))
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)

    monkeypatch.setattr(Silence, "is_too_long", hangs)
    monkeypatch.setattr(node, "TERMINATE_SECONDS", 0.1)
    assert LocalRunner().run(folder, stop_once, nothing) == result_of(folder)
    assert len(stopped) == 1
    assert not psutil.pid_exists(stopped[0])
    assert any("reported no progress for 3600 s and was stopped. It goes on" in note for note in notes)


@pytest.mark.parametrize("kind", ["local", "ray"])
def test_job_that_never_reports_anything_ends_with_what_to_set(
    kind: Literal["local", "ray"], request: pytest.FixtureRequest, tmp_path: Path, pixels: Path
) -> None:
    if kind == "ray":
        request.getfixturevalue("cluster")
    folder = tmp_path / "rank"
    prepare(folder, description(JobKind.RANK, pixels), rows=np.arange(24))
    runner = runner_of(ServerSettings(runner=kind, job_stall_seconds=0.1))
    said = r"reported no progress for 0\.1 s and was stopped.*rank/log\.txt.*raise PT4AL_JOB_STALL_SECONDS"
    with locked(folder, wait=False), pytest.raises(TrainingImpossible, match=said):  # which each process waits for
        runner.run(folder, nothing, nothing)
    wait_until(lambda: not children_of(folder), 30, "the last process has ended")


def test_log_says_where_a_process_hung(tmp_path: Path, pixels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "rank"
    prepare(folder, description(JobKind.RANK, pixels), rows=np.arange(24))

    def answers(child: psutil.Process) -> bool:
        """Whether it has a handler for SIGTERM by now."""
        (caught,) = (line for line in Path(f"/proc/{child.pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
        return bool(int(caught.split()[1], 16) >> signal.SIGTERM - 1 & 1)

    monkeypatch.setattr(Silence, "is_too_long", lambda _: any(map(answers, children_of(folder))))
    monkeypatch.setattr(restarts, "RESTARTS", 0)
    with locked(folder, wait=False), pytest.raises(TrainingImpossible):
        LocalRunner().run(folder, nothing, nothing)
    assert "locks.py" in (folder / "log.txt").read_text()


def test_process_that_hangs_ends_when_its_worker_is_gone(tmp_path: Path, pixels: Path) -> None:
    folder = tmp_path / "rank"
    prepare(folder, description(JobKind.RANK, pixels), rows=np.arange(24))
    command = [sys.executable, "-m", "pt4al_backend.jobs.child", str(folder)]
    starter = [sys.executable, "-c", f"import subprocess; subprocess.run({command!r})"]
    with locked(folder, wait=False), subprocess.Popen(starter) as worker:  # which the child waits for
        (hanging,) = wait_until(lambda: children_of(folder), 30, "it has begun")
        wait_until(lambda: hanging.num_threads() > 1 and hanging.nice() > 0, 60, "it is at its work")
        worker.kill()
        wait_until(lambda: not children_of(folder), 60, "it ends")


def test_time_in_which_nobody_listened_is_no_silence() -> None:
    silence = Silence(2 * TICK_SECONDS)
    assert [silence.is_too_long() for _ in range(3)] == [False, False, True]
    silence.end()
    assert not silence.is_too_long()


def test_several_jobs_run_at_once(runner: Runner, tmp_path: Path, pixels: Path) -> None:
    """Each waits in its first progress until the other has begun."""
    both = threading.Barrier(2)
    met = []

    def work(name: str) -> Path:
        def meet(_: Progress) -> None:
            if name not in met:
                both.wait(120)
                met.append(name)

        prepare(tmp_path / name, description(JobKind.RANK, pixels), rows=np.arange(24))
        return runner.run(tmp_path / name, meet, nothing)

    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(work, ["a", "b"]))
    assert results == [tmp_path / name / "result" for name in ("a", "b")]


def test_job_whose_ray_worker_is_killed_is_resumed(cluster: None, tmp_path: Path, pixels: Path) -> None:
    folder, killed = training_data(tmp_path / "learn", pixels), threading.Event()

    def kill_once(progress: Progress) -> None:
        if progress.epoch and not killed.is_set():
            killed.set()
            for child in children_of(folder):
                os.kill(child.ppid(), signal.SIGKILL)

    assert RayRunner().run(folder, kill_once, nothing) == result_of(folder)
    assert killed.is_set()


def test_ray_without_a_gpu_is_named_where_one_is_asked_for(cluster: None, tmp_path: Path, pixels: Path) -> None:
    job = description(JobKind.RANK, pixels).model_copy(update={"device": "cuda"})
    prepare(tmp_path / "rank", job, rows=np.arange(24))
    with pytest.raises(RunnerUnavailable, match="has no GPU"):
        RayRunner().run(tmp_path / "rank", nothing, nothing)


def test_doctor_says_what_a_ray_cluster_has_and_what_it_lacks(cluster: None, tmp_path: Path) -> None:
    def found(device: Literal["auto", "cuda"]) -> tuple[str, str]:
        settings = ServerSettings(data_dir=tmp_path, runner="ray", ray_address="127.0.0.1:6379", device=device)
        (finding,) = (each for each in examine(settings) if each.topic == "Runner")
        return finding.level, finding.text

    assert found("auto") == ("ok", "jobs run on the Ray cluster at 127.0.0.1:6379: nodes 1, processors 2, GPUs 0")
    assert found("cuda") == ("fail", "The Ray cluster has no GPU, and PT4AL_DEVICE is cuda.")


@pytest.mark.parametrize(("companion", "phase"), [("learning_loss", "training"), ("vaal", "companion")])
def test_killed_companion_gives_the_confidences_of_one_that_was_not(
    tmp_path: Path, pixels: Path, companion: str, phase: str
) -> None:
    changes: dict[str, Any] = {"companion": companion, "query_size": 3, "settings": {"companion_steps": 2}}
    whole, killed = (training_data(tmp_path / name, pixels, **changes) for name in ("whole", "killed"))
    results = LocalRunner().run(whole, nothing, nothing), killed_in(killed, phase)
    expected, found = (dict(np.load(result / "candidates.npz"))[companion] for result in results)
    assert len(set(expected.tolist())) > 1
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_error_of_on_tick_ends_the_child_and_the_job_can_be_resumed(runner: Runner, tmp_path: Path, pixels: Path) -> None:
    folder = training_data(tmp_path / "learn", pixels, settings={"epochs": 3})

    class Unwanted(Exception):
        pass

    def stop() -> None:
        raise Unwanted

    with pytest.raises(Unwanted):
        runner.run(folder, nothing, stop)
    wait_until(lambda: not children_of(folder), 30, "the child ends")
    assert runner.run(folder, nothing, nothing) == folder / "result"


def test_error_of_the_child_reaches_the_caller(runner: Runner, tmp_path: Path, pixels: Path) -> None:
    folder = tmp_path / "learn"
    one_class, none = labelled(pixels, rows(0, 3, 6)), labelled(pixels, rows())
    prepare(folder, description(JobKind.LEARN, pixels), train=one_class, control=none, candidates=rows())
    with pytest.raises(TrainingImpossible, match="class"):
        runner.run(folder, nothing, nothing)


def test_crash_of_the_child_names_its_log(runner: Runner, tmp_path: Path, pixels: Path) -> None:
    folder = tmp_path / "rank"
    prepare(folder, description(JobKind.RANK, pixels), rows=np.arange(8))
    (folder / "rows.npy").write_bytes(b"not an array")
    with pytest.raises(TrainingImpossible) as crashed:
        runner.run(folder, nothing, nothing)
    assert str(folder) in str(crashed.value)


def test_child_gets_no_secret(runner: Runner, tmp_path: Path, pixels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "token-of-the-admin")
    folder = tmp_path / "rank"
    prepare(folder, description(JobKind.RANK, pixels), rows=np.arange(8))

    def look(_progress: Progress) -> None:
        seen.extend(str(child.environ()) for child in children_of(folder))

    runner.run(folder, look, nothing)
    assert seen
    assert not any("token-of-the-admin" in environment for environment in seen)
