"""Jobs behind a launcher of the user's: a prefix of the child's command."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil
import pytest

from pt4al_backend.config import server_settings
from pt4al_backend.errors import ConfigError, RunnerUnavailable, TrainingImpossible
from pt4al_backend.jobs.folder import prepare
from pt4al_backend.jobs.run import LocalRunner, runner_of
from pt4al_backend.jobs.spec import JobKind
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress
from tests.support import pools
from tests.support.pools import description

pytestmark = pytest.mark.slow


def nothing(*_: object) -> None:
    return None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    job = tmp_path / "a job"
    prepare(job, description(JobKind.RANK, pools.arrows(tmp_path / "pixels.u8", 24)), rows=np.arange(24))
    return job


def processes_of(folder: Path) -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cmdline"]) if str(folder) in (one.info["cmdline"] or [])]


@pytest.mark.parametrize(
    "launcher", [["env", "MARK=a b", "nice"], [sys.executable, "-m", "torch.distributed.run", "--no-python"]]
)
def test_launcher_brings_the_job_to_its_result(folder: Path, launcher: list[str]) -> None:
    events: list[Progress] = []
    result = LocalRunner(launcher).run(folder, events.append, nothing)
    assert np.isfinite(np.load(result / "losses.npy")).all()
    assert events[-1].share == 1.0


def test_job_that_is_no_longer_wanted_ends_with_its_launcher(folder: Path) -> None:
    class Unwanted(Exception):
        pass

    def stop(_: Progress) -> None:
        raise Unwanted

    with pytest.raises(Unwanted):
        LocalRunner(["env", "MARK=1"]).run(folder, stop, nothing)
    assert processes_of(folder) == []


def test_job_that_hangs_behind_a_launcher_ends_with_it(folder: Path) -> None:
    begun = json.dumps(asdict(Progress(Phase.TRAINING, 1, 1, 1, 2)))
    launcher = LocalRunner(["sh", "-c", f"echo '{begun}'; sleep 600", str(folder)], stall_seconds=0.1)
    with pytest.raises(TrainingImpossible, match="reported no progress"):
        launcher.run(folder, nothing, nothing)
    assert processes_of(folder) == []


def test_launcher_may_let_a_job_wait_for_as_long_as_it_likes(folder: Path, tmp_path: Path) -> None:
    turn, ticks = tmp_path / "turn", []

    def call_at_last() -> None:
        ticks.append(1)
        if len(ticks) == 4:
            turn.touch()

    waiting = f"while [ ! -e '{turn}' ]; do sleep 0.05; done; exit 5"
    with pytest.raises(RunnerUnavailable, match="status 5"):
        LocalRunner(["sh", "-c", waiting], stall_seconds=0.1).run(folder, nothing, call_at_last)


def test_launcher_that_is_missing_is_named_with_what_to_do(folder: Path) -> None:
    with pytest.raises(RunnerUnavailable, match=r"no-such-launcher.*Install"):
        LocalRunner(["no-such-launcher"]).run(folder, nothing, nothing)


def test_launcher_that_fails_is_quoted(folder: Path) -> None:
    with pytest.raises(RunnerUnavailable, match="no such partition"):
        LocalRunner(["sh", "-c", "echo no such partition >&2; exit 2"]).run(folder, nothing, nothing)


def test_launcher_of_the_settings_is_split_as_a_shell_splits(folder: Path) -> None:
    runner = runner_of(server_settings(launcher="sh -c 'exit 5' --gres=gpu:1"))
    with pytest.raises(RunnerUnavailable, match="status 5"):
        runner.run(folder, nothing, nothing)


@pytest.mark.parametrize(("launcher", "said"), [("srun 'half", "quotation"), ("torchrun --nproc-per-node=1", "--no-python")])
def test_launcher_that_cannot_work_is_refused_with_what_to_change(launcher: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        server_settings(launcher=launcher)
    assert said in str(refused.value)
