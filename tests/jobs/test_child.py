"""The child process, as a runner uses it: a folder in, lines out, a result in the folder."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pt4al_backend import artefacts
from pt4al_backend.config.catalog import MAIN_TASK_FACTS
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.mask_files import Mask, MaskFiles
from pt4al_backend.jobs import child
from pt4al_backend.jobs.failure import Failure
from pt4al_backend.jobs.layout import LaidOut
from pt4al_backend.jobs.spec import JobKind
from pt4al_backend.label_sets import LabelSet
from pt4al_backend.learn.evaluation import CONTROL_ANSWERS
from pt4al_backend.learn.predictor import Predictor
from pt4al_backend.progress import Progress
from pt4al_backend.query.confidence import SAMPLERS
from tests.support import disks, pools
from tests.support.images import CLASSES
from tests.support.pools import ARROWS, SCENES, TAGGED, Pool

pytestmark = pytest.mark.slow

POOL = 60


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return pools.arrows(tmp_path / "pixels", POOL)


@pytest.fixture(params=[ARROWS, TAGGED, SCENES], ids=lambda pool: pool.task)
def pool(request: pytest.FixtureRequest) -> Pool:
    chosen: Pool = request.param
    return chosen


class Events:
    """A channel that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, event: Progress | Failure) -> None:
        self.sent.append(event)

    def report(self, progress: Progress) -> None:
        self.send(progress)


def run(folder: Path) -> tuple[int, list[Any]]:
    """Does a job in this process; its exit code and what it sent."""
    channel = Events()
    return child.run(folder, channel), channel.sent


def start(folder: Path) -> "subprocess.Popen[bytes]":
    """Does a job as the worker does."""
    return subprocess.Popen([sys.executable, "-m", "pt4al_backend.jobs.child", str(folder)], stdout=subprocess.PIPE)


def losses(folder: Path) -> Any:
    return np.load(folder / "result" / "losses.npy")


def candidates(folder: Path) -> dict[str, Any]:
    with np.load(folder / "result" / "candidates.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def test_ranking_then_learning_leaves_all_that_a_round_needs(tmp_path: Path, pool: Pool) -> None:
    rows = np.random.default_rng(0).permutation(POOL)
    store = pool.store(tmp_path / "pixels", POOL)
    ranking = pools.ranking(tmp_path / "ranking", store, rows, pool=pool, settings={"pretext_epochs": 4})
    process = start(ranking)
    output, _ = process.communicate()
    assert process.returncode == 0
    lines = [json.loads(line) for line in output.splitlines()]
    assert {line["phase"] for line in lines} >= {"pretext", "scoring"}
    assert all({"epoch", "epochs", "done", "total", "eta"} <= line.keys() for line in lines)
    manifest = artefacts.manifest(ranking / "result")
    assert manifest["quality"].keys() == {"accuracy", "chance", "spread", "meaningful", "reason"}
    assert not (ranking / child.CHECKPOINT).exists()

    changes = {"learner": ranking / "result", "settings": {"epochs": pool.epochs}}
    training_data = pools.training_data(tmp_path / "learn", store, np.arange(40), np.arange(40, 60), pool, **changes)
    assert run(training_data)[0] == 0
    manifest = artefacts.manifest(training_data / "result")
    assert manifest["init"] == "pretext"
    assert manifest["train_size"] == 40
    control = manifest["control"]
    assert control["total"] == 20
    assert 0.7 < control["value"] <= 1
    assert 0 < control["low"] <= control["value"] <= control["high"] <= 1
    assert {path.name for path in training_data.iterdir()} == {
        "job.json",
        "manifest.json",
        "lock",
        "result",
        "train.npz",
        "control.npz",
        "candidates.npy",
    }

    predictor = Predictor.load(training_data / "result")
    assert (predictor.task, predictor.classes) == (pool.task, list(pool.classes))
    assert predictor.shape == predictor.stored == pool.shape
    scored = candidates(training_data)
    assert scored.keys() == {*SAMPLERS, "labels"}
    with FrameFile(store, pool.shape) as pixels:
        answers, confidences = predictor.predict(pixels.read(np.arange(5)))
    np.testing.assert_allclose(confidences, scored["least_confidence"], atol=0.03)
    for answer, label in zip(answers, scored["labels"].tolist(), strict=True):
        if isinstance(answer, Mask):
            assert np.mean(MaskFiles(training_data / "result" / "masks").get(label).ids == answer.ids) > 0.99
        elif isinstance(answer, LabelSet):
            assert answer.text == label
        else:
            assert answer == label
    assert predictor.predict(np.empty((0, *pool.shape, 3), np.uint8))[0] == []


def test_wanted_rows_are_kept_of_candidates_and_training_images(tmp_path: Path, pool: Pool) -> None:
    store = pool.store(tmp_path / "pixels", POOL)
    rows = np.arange(40)[::-1]  # the candidates, 0 to 4, are among the images learned
    outputs = ["features", "posteriors"] if not MAIN_TASK_FACTS[pool.task].gives else ["features"]
    training_data = pools.training_data(tmp_path / "learn", store, rows, np.arange(40, 60), pool, outputs=outputs)
    assert run(training_data)[0] == 0
    files = {path.name: path for path in (training_data / "result").glob("*.npy")}
    assert (files.pop(CONTROL_ANSWERS, None) is None) == (pool.task == "segmentation")  # masks are too large for a page
    kept = {path.stem: np.load(path).astype(np.float64) for path in files.values()}
    assert kept.keys() == {*outputs, "labelled"}
    assert np.ptp(kept["features"], axis=0).max() > 0.01
    np.testing.assert_allclose(kept["labelled"][::-1][:5], kept["features"], rtol=0.02, atol=0.02)
    assert kept["labelled"].shape == (40, kept["features"].shape[1])
    if "posteriors" in outputs:
        np.testing.assert_allclose(kept["posteriors"].max(1), candidates(training_data)["least_confidence"], atol=1e-3)
        assert np.array(CLASSES)[kept["posteriors"].argmax(1)].tolist() == candidates(training_data)["labels"].tolist()


def test_ranking_keeps_features_that_are_wanted(tmp_path: Path, pool: Pool) -> None:
    store = pool.store(tmp_path / "pixels", POOL)
    rows = np.array([3, 7, 3, *range(20)])
    ranking = pools.ranking(tmp_path / "ranking", store, rows, pool=pool, outputs=["features"])
    assert run(ranking)[0] == 0
    features = np.load(ranking / "result" / "features.npy")
    assert len(features) == len(rows)
    np.testing.assert_array_equal(features[0], features[2])
    assert (features[0] != features[1]).any()


def test_live_project_gets_a_map_of_all_that_its_learner_has_ranked(tmp_path: Path, pool: Pool) -> None:
    store, live = pool.store(tmp_path / "pixels", POOL), {"pool": pool, "project": 1}
    ranking = pools.ranking(tmp_path / "rank-1", store, np.arange(40), **live)
    late = pools.ranking(tmp_path / "score", store, np.arange(40, 55), learner=ranking / "result", **live)
    arrays = {"rows": np.arange(POOL), "ids": np.arange(POOL) + 100}
    layout = pools.job(tmp_path / "layout-1", JobKind.LAYOUT, store, arrays, learner=ranking / "result", **live)
    assert [run(folder)[0] for folder in (ranking, late, layout)] == [0, 0, 0]
    found = LaidOut.load(layout / "result")
    assert found.tasks.tolist() == list(range(100, 155))
    assert (found.manifest.by, found.manifest.without_features) == ("pretext learner", 5)
    assert not (ranking / "result" / "features.npy").exists()


@pytest.mark.parametrize("pool", [SCENES, TAGGED], ids=lambda pool: pool.task)
def test_posteriors_of_a_model_that_has_none_are_an_error(tmp_path: Path, pool: Pool) -> None:
    store = pool.store(tmp_path / "pixels", POOL)
    training_data = pools.training_data(tmp_path / "learn", store, np.arange(40), np.arange(40, 60), pool, outputs=["posteriors"])
    status, events = run(training_data)
    assert (status, events[-1].error) == (child.EXIT_ERROR, f"{pool.task} has no posteriors of images.")


def test_late_imports_rank_among_a_pool_that_the_learner_has_memorised(tmp_path: Path) -> None:
    """Without the scale that the held out give all late images are harder than the whole pool; a mean place of 1."""
    store, settings = pools.noise(tmp_path / "noise", 600), {"pretext_epochs": 10, "pretext_holdout": 0.25}
    ranking = pools.ranking(tmp_path / "ranking", store, np.arange(400), settings=settings)
    late = pools.ranking(tmp_path / "late", store, np.arange(400, 600), learner=ranking / "result")
    assert run(ranking)[0] == run(late)[0] == 0
    places = np.searchsorted(np.sort(losses(ranking)), losses(late)) / 400
    assert 0.3 < places.mean() < 0.7
    assert not artefacts.manifest(ranking / "result")["quality"]["meaningful"]


def test_paper_preset_holds_nothing_out_and_ranks_by_the_loss_alone(tmp_path: Path, store: Path) -> None:
    settings = {"preset": "paper"}
    ranking = pools.ranking(tmp_path / "ranking", store, np.arange(POOL), settings=settings)
    again = pools.ranking(tmp_path / "again", store, np.arange(40, 45), settings=settings, learner=ranking / "result")
    assert run(ranking)[0] == run(again)[0] == 0
    np.testing.assert_array_equal(losses(again), losses(ranking)[40:45])
    assert artefacts.manifest(ranking / "result")["held_out"] == 0


def test_killed_child_is_resumed_from_its_checkpoint_by_the_same_job_only(tmp_path: Path, store: Path) -> None:
    folder = pools.ranking(tmp_path / "ranking", store, np.arange(POOL), settings={"pretext_epochs": 300})
    process = start(folder)
    assert process.stdout is not None
    while json.loads(process.stdout.readline())["epoch"] < 3:
        pass
    process.kill()
    process.wait()
    process.stdout.close()
    job = json.loads((folder / "job.json").read_text())
    assert not (folder / "result").exists()

    job["device"] = "auto"  # any change makes it another job, whose first epochs are its own
    other = tmp_path / "other"
    other.mkdir()
    for name in (child.CHECKPOINT, "rows.npy"):
        (other / name).write_bytes((folder / name).read_bytes())
    job["settings"]["pretext_epochs"] = 2
    (other / "job.json").write_text(json.dumps(job))
    code, events = run(other)
    assert code == 0
    assert "other data or settings" in events[0].note

    process = start(folder)
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert first["note"].startswith("Resuming after epoch")


def test_child_ends_when_its_worker_is_gone(tmp_path: Path, store: Path) -> None:
    folder = pools.ranking(tmp_path / "ranking", store, np.arange(POOL), settings={"pretext_epochs": 1000})
    process = start(folder)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == child.EXIT_ORPHANED
    assert not (folder / "result").exists()


def test_error_that_a_user_can_cure_is_the_last_line(tmp_path: Path, store: Path) -> None:
    one_class = np.arange(0, 30, len(CLASSES))
    code, events = run(pools.training_data(tmp_path / "learn", store, one_class, np.arange(1)))
    assert code == child.EXIT_ERROR
    assert "only 'red'" in events[-1].error
    assert events[-1].remedy


def test_frame_file_that_is_too_short_is_an_error(tmp_path: Path, store: Path) -> None:
    code, events = run(pools.ranking(tmp_path / "ranking", store, np.arange(POOL + 5)))
    assert code == child.EXIT_ERROR
    assert "image store" in events[-1].error


@pytest.mark.parametrize(("text", "named"), [("garbage", "JSON"), ('{"kind": "rank"}', "version"), ('{"version": 2}', "kind")])
def test_job_that_cannot_be_read_ends_with_an_error_that_says_why(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "job.json").write_text(text)
    code, events = run(tmp_path)
    assert code == child.EXIT_ERROR
    assert named in events[-1].error


def test_full_disk_is_an_error_with_a_remedy_and_the_job_ends_once_there_is_space(small_disk: Path, store: Path) -> None:
    folder = pools.ranking(small_disk / "ranking", store, np.arange(POOL))
    filler = disks.fill(small_disk)
    code, events = run(folder)
    assert code == child.EXIT_ERROR
    assert "No space left" in events[-1].error
    assert "Free space" in events[-1].remedy
    filler.unlink()
    assert run(folder)[0] == 0


def test_finished_job_is_done_again_only_if_it_is_another(tmp_path: Path, store: Path) -> None:
    folder = pools.ranking(tmp_path / "ranking", store, np.arange(POOL))
    assert run(folder)[0] == 0
    made = (folder / "result" / "losses.npy").stat().st_mtime_ns
    assert run(folder) == (0, [])
    assert (folder / "result" / "losses.npy").stat().st_mtime_ns == made
    np.save(folder / "rows.npy", np.arange(30))
    assert run(folder)[0] == 0
    assert losses(folder).shape == (30,)


def test_child_waits_for_an_orphan_that_holds_the_job(tmp_path: Path, store: Path) -> None:
    folder = pools.ranking(tmp_path / "ranking", store, np.arange(POOL))
    with (folder / "lock").open("w") as orphan:
        fcntl.flock(orphan, fcntl.LOCK_EX)
        outcome: list[int] = []
        thread = threading.Thread(target=lambda: outcome.append(run(folder)[0]))
        thread.start()
        while f"{os.fstat(orphan.fileno()).st_ino} " not in waiting_locks():
            pass
        assert not (folder / "result").exists()
    thread.join()
    assert outcome == [0]


def waiting_locks() -> str:
    """The kernel's list of locks that somebody waits for."""
    return "".join(f"{line} " for line in Path("/proc/locks").read_text().splitlines() if "->" in line)


def test_training_without_control_picks_and_candidates_gives_a_model(tmp_path: Path, pool: Pool) -> None:
    folder = pools.training_data(tmp_path / "learn", pool.store(tmp_path / "pixels", 9), np.arange(9), np.arange(0), pool)
    np.save(folder / "candidates.npy", np.arange(0))
    assert run(folder)[0] == 0
    assert {name: len(values) for name, values in candidates(folder).items()} == dict.fromkeys([*SAMPLERS, "labels"], 0)
    control = artefacts.manifest(folder / "result")["control"]
    assert (control["value"], control["low"], control["high"], control["total"]) == (None, None, None, 0)


@pytest.mark.parametrize("label", ["purple", "32x32-" + 40 * "0"])
def test_unknown_label_is_an_error_that_names_it(tmp_path: Path, pool: Pool, label: str) -> None:
    folder = pools.training_data(tmp_path / "learn", pool.store(tmp_path / "pixels", 9), np.arange(9), np.arange(0), pool)
    np.savez(folder / "control.npz", rows=np.arange(1), labels=np.array([label]))
    code, events = run(folder)
    assert code == child.EXIT_ERROR
    assert label in events[-1].error
    assert events[-1].remedy
    assert not (folder / "scratch").exists()
