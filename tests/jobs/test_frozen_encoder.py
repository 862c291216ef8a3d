"""Jobs on a frozen encoder: what they leave, what they read again, and what they refuse."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pt4al_backend import artefacts
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.jobs.dispatch import work
from pt4al_backend.jobs.folder import sound_job_of
from pt4al_backend.jobs.head import EncoderFile
from pt4al_backend.jobs.network_job import NetworkJob
from pt4al_backend.learn.frozen import features
from pt4al_backend.learn.inference import scoring_size
from pt4al_backend.learn.predictor import Predictor
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress, Report, silent
from pt4al_backend.query.confidence import CALIBRATED
from tests.support import disks, pools
from tests.support.encoders import ENCODER, weights_dir
from tests.support.images import CLASSES, arrow
from tests.support.pools import ARROWS, TAGGED

pytestmark = pytest.mark.training

POOL, SIZE = 24, 32
SHAPE = {"shape": (SIZE, SIZE), "stored": (SIZE, SIZE)}
ROWS = np.arange(POOL)


class Bench:
    """A pool of arrows, and jobs on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = pools.arrows(folder / "pixels", POOL, SIZE)
        self.weights = weights_dir(folder / "weights")

    def rank(self, name: str = "rank", rows: Any = ROWS, **changes: Any) -> Path:
        return self._done(pools.ranking, name, rows, **changes)

    def learn(self, name: str = "learn", **changes: Any) -> Path:
        return self._done(pools.training_data, name, ROWS[:12], ROWS[12:], **changes)

    def _done(self, make: Callable[..., Path], name: str, *rows: Any, report: Report = silent, **changes: Any) -> Path:
        settings = {"encoder": ENCODER, **changes.pop("settings", {})}
        given = {"pool": ARROWS, "settings": settings, "weights": self.weights, **SHAPE, **changes}
        folder = make(self.folder / name, self.store, *rows, **given)
        work(NetworkJob.read(folder), report)
        return folder / "result"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of images that the encoder described."""
    counts: list[int] = []
    infer = features.infer

    def counted(model: Any, predict: Any, data: Any, *rest: Any, **options: Any) -> None:
        counts.append(len(data))
        infer(model, predict, data, *rest, **options)

    monkeypatch.setattr(features, "infer", counted)
    return counts


def test_ranking_of_a_project_describes_its_late_images_too(bench: Bench) -> None:
    learner = bench.rank(rows=ROWS[:20], project=1)
    bench.rank("late", ROWS[20:], learner=learner, project=1)
    encoder = EncoderFile.of(learner, ENCODER)
    assert encoder is not None
    spec = sound_job_of(bench.folder / "late")
    assert spec is not None
    with FrameFile(bench.store, (SIZE, SIZE)) as frames, encoder.file(spec, writable=False) as file:
        assert file.missing(ROWS, frames).tolist() == []


def test_ranking_gives_each_image_a_loss_and_says_which_weights_it_used(bench: Bench) -> None:
    result = bench.rank(outputs=["features"])
    losses, manifest = np.load(result / "losses.npy"), artefacts.manifest(result)
    assert np.isfinite(losses).all()
    assert len(np.unique(losses)) == POOL
    assert manifest["init"] == "pretrained"
    assert manifest["weights"]["encoder"] == ENCODER
    assert len(manifest["weights"]["sha256"]) == 64
    assert manifest["weights"]["licence"] == "apache-2.0"
    assert np.load(result / "features.npy").shape == (POOL, 256)


def test_later_images_are_scored_by_the_learner_that_is_there(bench: Bench) -> None:
    first = bench.rank(rows=ROWS[:20])
    late = np.load(bench.rank("late", ROWS[20:], learner=first) / "losses.npy")
    again = np.load(bench.rank("again", ROWS[[23, 22]], learner=first) / "losses.npy")
    assert late.shape == (4,)
    np.testing.assert_allclose(again, late[[3, 2]], rtol=1e-6)


def test_model_knows_its_labels_and_answers_live_as_it_scored(bench: Bench) -> None:
    result = bench.learn()
    with np.load(result / "candidates.npz", allow_pickle=False) as arrays:
        labels, confidences = arrays["labels"].tolist(), arrays[CALIBRATED]
    predictor = Predictor.load(result)
    with FrameFile(bench.store, (SIZE, SIZE)) as frames:
        answers, live = predictor.predict(frames.read(ROWS[: len(labels)]))
        learned, _ = predictor.predict(frames.read(ROWS[:12]))
    assert answers == labels
    np.testing.assert_allclose(live, confidences, atol=0.03)
    assert learned == [CLASSES[row % len(CLASSES)] for row in range(12)]
    assert artefacts.manifest(result)["control"]["total"] == 12


def test_features_are_computed_once_for_ranking_rounds_and_late_images(bench: Bench, described: list[int]) -> None:
    bench.rank(rows=ROWS[:20])
    assert described == [20]  # in four orientations
    bench.learn()
    bench.learn("learn-2", settings={"class_weights": "balanced"})
    assert described == [20, POOL]
    with FrameFile(bench.store, (SIZE, SIZE)) as frames:
        frames.write(3, np.zeros((SIZE, SIZE, 3), np.uint8))
    bench.learn("learn-3")
    assert described == [20, POOL, 1]


def test_images_that_arrive_while_others_are_described_are_left_to_the_next_job(
    bench: Bench, described: list[int], tmp_path: Path
) -> None:
    late = np.asarray(arrow(POOL, SIZE), np.uint8)
    begun: list[Phase | None] = []

    def arrive(progress: Progress) -> None:
        if progress.phase is Phase.FEATURES and not begun:
            begun.append(progress.phase)
            with FrameFile(bench.store, (SIZE, SIZE)) as frames:
                frames.write(POOL, late)

    learner = bench.rank(report=arrive)
    assert begun
    bench.rank("late", np.array([POOL]), learner=learner)
    assert described == [POOL, 1]
    (tmp_path / "undisturbed").mkdir()
    undisturbed = Bench(tmp_path / "undisturbed").rank()
    np.testing.assert_array_equal(np.load(undisturbed / "losses.npy"), np.load(learner / "losses.npy"))


def test_other_weights_are_other_features(bench: Bench, described: list[int]) -> None:
    one = np.load(bench.rank(outputs=["features"]) / "features.npy")
    weights_dir(bench.weights, seed=1)
    other = np.load(bench.rank("other", outputs=["features"]) / "features.npy")
    assert described == [POOL] * 4  # upright and turned, twice
    assert not np.allclose(one, other)


def test_later_images_are_scored_with_the_weights_that_the_pool_was_ranked_with(bench: Bench) -> None:
    first = bench.rank(rows=ROWS[:20])
    before = np.load(bench.rank("before", ROWS[20:], learner=first) / "losses.npy")
    weights_dir(bench.weights, seed=1)
    np.testing.assert_allclose(np.load(bench.rank("after", ROWS[20:], learner=first) / "losses.npy"), before, rtol=1e-6)


def test_features_of_weights_that_a_project_uses_no_more_are_deleted(bench: Bench, tmp_path: Path) -> None:
    bench.rank(project=1, outputs=["features"])
    before = {path.name for path in tmp_path.glob("*.f16*")}
    weights_dir(bench.weights, seed=1)
    bench.rank("other", project=1)
    after = {path.name for path in tmp_path.glob("*.f16*")}
    assert before
    assert after
    assert not before & after


@pytest.mark.parametrize(("rows", "problem"), [(ROWS[:1], "One image alone"), (ROWS[:0], "One image alone")])
def test_pool_that_cannot_be_ranked_is_refused(bench: Bench, rows: Any, problem: str) -> None:
    with pytest.raises(TrainingImpossible, match=problem):
        bench.rank(rows=rows)


def test_encoder_without_weights_says_where_to_get_them(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    bench.weights = tmp_path
    with pytest.raises(TrainingImpossible, match=r"no weights of the encoder.*PT4AL_WEIGHTS_DIR.*to resnet18"):
        bench.rank()


def test_several_choices_are_learned_on_a_frozen_encoder(bench: Bench) -> None:
    result = bench.learn(pool=TAGGED)
    with np.load(result / "candidates.npz", allow_pickle=False) as arrays:
        labels = arrays["labels"].tolist()
    truths = TAGGED.labels(bench.folder, ROWS[: len(labels)]).tolist()
    assert labels == truths  # the candidates are among the images that it learned
    assert artefacts.manifest(result)["control"]["metric"] == "mAP"


def test_features_that_are_no_finite_numbers_are_refused(bench: Bench) -> None:
    file = bench.weights / f"{ENCODER}.safetensors"
    given = load_file(file)
    given["conv_stem.weight"] *= 1e30
    given["blocks.0.0.conv.weight"] *= 1e30
    for name in [each for each in given if each.endswith("running_var")]:
        given[name].fill_(1e-30)  # so that nothing brings what is too large back
    save_file(given, file)
    with pytest.raises(TrainingImpossible, match=r"no finite numbers.*Check the file of its weights"):
        bench.rank()


def features_beside(store: Path) -> dict[str, bytes]:
    """The feature files beside a store, by what of their names does not depend on the weights."""
    return {path.name.rpartition("-")[2]: path.read_bytes() for path in store.parent.glob("*.f16")}


def test_features_that_a_full_disk_cut_short_are_computed_once_there_is_space(bench: Bench, small_disk: Path) -> None:
    clean = np.load(bench.rank() / "losses.npy")
    described = features_beside(bench.store)
    bench.store = pools.arrows(small_disk / "pixels", POOL, SIZE)
    filler = disks.fill(small_disk)
    with pytest.raises(OSError, match="No space left"):
        bench.rank("again")
    filler.unlink()
    assert np.array_equal(np.load(bench.rank("again") / "losses.npy"), clean)
    assert features_beside(bench.store) == described


def test_features_that_a_kill_cut_short_are_gone_on_with_and_are_the_same(tmp_path: Path, described: list[int]) -> None:
    count, together = 130, scoring_size(torch.device("cpu"), (SIZE, SIZE), 4)
    results = []
    for name in ("killed", "clean"):
        store = pools.arrows(tmp_path / name / "pixels", count, SIZE)
        given = {"settings": {"encoder": ENCODER}, "weights": weights_dir(tmp_path / "weights"), **SHAPE}
        folder = pools.ranking(tmp_path / name / "rank", store, np.arange(count), **given)
        if name == "killed":
            kill_at(folder, Phase.FEATURES)
        work(NetworkJob.read(folder), silent)
        results.append((np.load(folder / "result" / "losses.npy").tolist(), features_beside(store), sum(described)))
        described.clear()
    killed, clean = results
    assert killed[:2] == clean[:2]
    assert killed[2] <= clean[2] - together


def kill_at(folder: Path, phase: Phase) -> None:
    """Starts a job as the worker does, and kills its process when some of a phase is done."""
    command = [sys.executable, "-m", "pt4al_backend.jobs.child", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        events = (json.loads(line) for line in process.stdout)
        assert any(event.get("phase") == phase and event["done"] for event in events)
        process.kill()
