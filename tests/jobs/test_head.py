"""Heads on frozen features are trained in the worker itself, where that is quick."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pt4al_backend import artefacts
from pt4al_backend.errors import TooFewClasses
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.jobs import head
from pt4al_backend.jobs.dispatch import work
from pt4al_backend.jobs.folder import LOG
from pt4al_backend.jobs.network_job import NetworkJob
from pt4al_backend.jobs.run import LocalRunner
from pt4al_backend.learn.predictor import Predictor
from pt4al_backend.progress import silent
from pt4al_backend.query.confidence import CALIBRATED
from tests.support import pools
from tests.support.encoders import ENCODER, weights_dir
from tests.support.pools import ARROWS, TAGGED, Pool

pytestmark = pytest.mark.training

POOL, SIZE = 24, 32
ROWS = np.arange(POOL)


class Project:
    """What is in the folder ``ranked``, and trainings on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, folder / "pixels"
        self.learner = folder / "rank" / "result"
        self.common: dict[str, Any] = {
            "settings": {"encoder": ENCODER},
            "weights": folder / "weights",
            "shape": (SIZE, SIZE),
            "stored": (SIZE, SIZE),
        }

    def job(self, name: str, train: Any = ROWS[:8], control: Any = ROWS[8:12], pool: Pool = ARROWS, **more: Any) -> Path:
        given = {**self.common, "learner": self.learner, "pool": pool, **more}
        return pools.training_data(self.folder / name, self.store, train, control, **given)


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool of arrows whose first 20 images are ranked on a frozen encoder. To be copied: tests change it."""
    project = Project(tmp_path_factory.mktemp("ranked"))
    pools.arrows(project.store, POOL, SIZE)
    weights_dir(project.common["weights"])
    ranking = pools.ranking(project.folder / "rank", project.store, ROWS[:20], outputs=["features"], **project.common)
    work(NetworkJob.read(ranking), silent)
    return project.folder


@pytest.fixture
def project(ranked: Path, tmp_path: Path) -> Project:
    return Project(shutil.copytree(ranked, tmp_path / "project"))


def run(folder: Path) -> Path:
    return LocalRunner().run(folder, silent, lambda: None)


def had_child(folder: Path) -> bool:
    return (folder / LOG).exists()


@pytest.mark.parametrize("pool", [ARROWS, TAGGED], ids=lambda pool: pool.task)
def test_live_model_is_as_sure_as_the_queue_shows(project: Project, pool: Pool) -> None:
    result = run(project.job("shown", train=ROWS[5:19], control=ROWS[19:20], pool=pool))
    with FrameFile(project.store, (SIZE, SIZE)) as frames:
        _, confidences = Predictor.load(result).predict(frames.read(ROWS[:5]))  # the candidates
    with np.load(result / "candidates.npz") as kept:
        np.testing.assert_allclose(confidences, kept[CALIBRATED], atol=0.02)
        doubts = 1 - kept["least_confidence"], 1 - kept[CALIBRATED]
        assert np.abs(np.log(doubts[0] / doubts[1])).max() > 0.1


@pytest.mark.parametrize("pool", [ARROWS, TAGGED], ids=lambda pool: pool.task)
def test_head_is_trained_without_a_child_and_answers_as_one_from_a_child(
    project: Project, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = project.job("here", pool=pool)
    run(here)
    monkeypatch.setattr(head, "MOST_IMAGES", 0)
    there = project.job("there", pool=pool)
    run(there)
    assert (had_child(here), had_child(there)) == (False, True)
    with np.load(here / "result" / "candidates.npz") as ours, np.load(there / "result" / "candidates.npz") as theirs:
        assert ours["labels"].tolist() == theirs["labels"].tolist()
        np.testing.assert_allclose(ours["margin"], theirs["margin"], atol=1e-6)
    facts = [artefacts.manifest(folder / "result") for folder in (here, there)]
    for name in ("weights", "network", "classes", "control", "train_size"):
        assert facts[0][name] == facts[1][name]
    assert Predictor.load(here / "result").classes == list(pool.classes)


def test_answers_under_dropout_are_compared_where_a_strategy_wants_it(project: Project) -> None:
    folders = [project.job(name, outputs=["features", "drop_consistency"]) for name in ("one", "two")]
    found = []
    for folder in folders:
        with np.load(run(folder) / "candidates.npz") as output:
            found.append(output["drop_consistency"])
            assert len(found[-1]) == len(output["labels"]) > 0
    np.testing.assert_array_equal(*found)
    assert set(np.round(3 * found[0], 6)) <= {0, 1, 2, 3}


def test_project_of_an_earlier_version_sees_its_images_as_it_began(project: Project) -> None:
    manifest = artefacts.manifest(project.learner)
    assert manifest["network"].pop("least_side") == 128
    (project.learner / artefacts.MANIFEST).write_text(json.dumps(manifest))
    result = run(project.job("late", train=ROWS[14:]))
    assert artefacts.manifest(result)["network"].get("least_side") is None
    with FrameFile(project.store, (SIZE, SIZE)) as frames, np.load(result / "candidates.npz") as kept:
        _, confidences = Predictor.load(result).predict(frames.read(ROWS[:5]))
        np.testing.assert_allclose(confidences, kept[CALIBRATED], atol=0.02)
    again = project.job("again", train=ROWS[14:])
    run(again)
    assert not had_child(again)


def test_images_without_features_are_described_in_a_child(project: Project) -> None:
    late = project.job("late", train=ROWS[14:])
    result = run(late)
    assert had_child(late)
    assert artefacts.manifest(result)["train_size"] == 10
    again = project.job("again", train=ROWS[14:])
    run(again)
    assert not had_child(again)


@pytest.mark.parametrize(("limit", "images"), [("MOST_PRODUCTS", 8), ("MOST_LOGITS", 17)])
def test_many_labels_or_images_of_many_classes_are_left_to_a_child(
    project: Project, limit: str, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [project.job(name) for name in ("within", "above")]
    for less, folder in enumerate(folders):
        monkeypatch.setattr(head, limit, images * 3 * 256 - less)
        run(folder)
    assert [had_child(folder) for folder in folders] == [False, True]


def test_encoder_that_a_ranking_has_trained_is_not_taken_for_the_frozen_one(project: Project) -> None:
    settings = {"encoder": ENCODER, "tuning": "full", "pretext_epochs": 1}
    ranking = pools.ranking(project.folder / "full", project.store, ROWS[:20], **{**project.common, "settings": settings})
    work(NetworkJob.read(ranking), silent)
    result = run(project.job("after", learner=ranking / "result"))
    given = load_file(project.folder / "weights" / f"{ENCODER}.safetensors")["conv_stem.weight"]
    (ours,) = (value for name, value in torch.load(result / artefacts.WEIGHTS).items() if name.endswith("conv_stem.weight"))
    assert torch.equal(ours, given)


def test_learner_of_a_version_that_did_not_count_features_is_read_in_a_child(project: Project) -> None:
    manifest = artefacts.manifest(project.learner)
    old = {key: value for key, value in manifest["weights"].items() if key != "features"}
    whole = project.learner.rename(project.folder / "whole")
    with artefacts.writing(project.learner, **{**manifest, "weights": old}) as folder:
        shutil.copytree(whole, folder, dirs_exist_ok=True)
    job = project.job("old")
    assert artefacts.manifest(run(job))["train_size"] == 8
    assert had_child(job)


def test_labels_of_one_class_are_refused(project: Project) -> None:
    folder = project.job("one", train=ROWS[[0, 3, 6]])
    with pytest.raises(TooFewClasses, match="two classes"):
        run(folder)
    assert not (folder / "scratch").exists()


def test_runner_brings_no_torch_into_the_worker() -> None:
    code = "import sys, pt4al_backend.engine.worker, pt4al_backend.learn.labels.class_labels; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
