"""Jobs in a child process: progress and errors come back, and a child that was killed is resumed."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.jobs.folder import prepare, result_of
from pt4al_backend.jobs.run import LocalRunner
from pt4al_backend.jobs.spec import JobKind
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress
from pt4al_backend.query.confidence import SAMPLERS
from tests.support import pools
from tests.support.pools import ARROWS, SCENES, Pool, description, labelled

pytestmark = pytest.mark.slow


@pytest.fixture
def pixels(tmp_path: Path) -> Path:
    return pools.arrows(tmp_path / "pixels.u8", 24)


def rows(*numbers: int) -> np.ndarray[Any, Any]:
    return np.array(numbers, np.int64)


def nothing(*_: object) -> None:
    return None


def test_job_reports_progress_ticks_and_leaves_its_result(tmp_path: Path, pixels: Path) -> None:
    folder, ticks = tmp_path / "rank", []
    events: list[Progress] = []
    prepare(folder, description(JobKind.RANK, pixels), rows=np.arange(24))
    result = LocalRunner().run(folder, events.append, lambda: ticks.append(1))
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


def killed_in(folder: Path, phase: str) -> Path:
    """Runs a job whose child is killed once, in a phase; its result."""
    killed = threading.Event()

    def kill_once(progress: Progress) -> None:
        if progress.phase == phase and progress.epoch and not killed.is_set():
            killed.set()
            for child in psutil.Process().children():
                if str(folder) in child.cmdline():
                    os.kill(child.pid, signal.SIGKILL)

    result = LocalRunner().run(folder, kill_once, nothing)
    assert killed.is_set()
    return result


@pytest.mark.parametrize("pool", [ARROWS, SCENES], ids=lambda pool: pool.task)
def test_killed_child_is_resumed(tmp_path: Path, pool: Pool) -> None:
    folder = training_data(tmp_path / "learn", pool.store(tmp_path / "pixels.u8", 24), pool)
    with np.load(killed_in(folder, "training") / "candidates.npz") as scored:
        assert {name: values.shape for name, values in scored.items()} == dict.fromkeys([*SAMPLERS, "labels"], (6,))
    assert not (folder / "scratch").exists()


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


def test_error_of_on_tick_ends_the_child_and_the_job_can_be_resumed(tmp_path: Path, pixels: Path) -> None:
    folder = training_data(tmp_path / "learn", pixels, settings={"epochs": 3})

    class Unwanted(Exception):
        pass

    def stop() -> None:
        raise Unwanted

    with pytest.raises(Unwanted):
        LocalRunner().run(folder, nothing, stop)
    assert not [child for child in psutil.Process().children() if str(folder) in child.cmdline()]
    assert LocalRunner().run(folder, nothing, nothing) == folder / "result"


def test_error_of_the_child_reaches_the_caller(tmp_path: Path, pixels: Path) -> None:
    folder = tmp_path / "learn"
    one_class, none = labelled(pixels, rows(0, 3, 6)), labelled(pixels, rows())
    prepare(folder, description(JobKind.LEARN, pixels), train=one_class, control=none, candidates=rows())
    with pytest.raises(TrainingImpossible, match="class"):
        LocalRunner().run(folder, nothing, nothing)


def test_crash_of_the_child_names_its_log(tmp_path: Path, pixels: Path) -> None:
    folder = tmp_path / "rank"
    prepare(folder, description(JobKind.RANK, pixels), rows=np.arange(8))
    (folder / "rows.npy").write_bytes(b"not an array")
    with pytest.raises(TrainingImpossible) as crashed:
        LocalRunner().run(folder, nothing, nothing)
    assert str(folder) in str(crashed.value)


def test_child_gets_no_secret(tmp_path: Path, pixels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "token-of-the-admin")
    folder = tmp_path / "rank"
    prepare(folder, description(JobKind.RANK, pixels), rows=np.arange(8))

    def look(_progress: Progress) -> None:
        seen.extend(str(child.environ()) for child in psutil.Process().children() if str(folder) in child.cmdline())

    LocalRunner().run(folder, look, nothing)
    assert seen
    assert not any("token-of-the-admin" in environment for environment in seen)
