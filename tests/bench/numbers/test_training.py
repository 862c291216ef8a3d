"""What training is timed against does the same work, and the table has a row for each comparison."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pt4al_backend.bench.numbers import released, training
from pt4al_backend.bench.numbers.workbench import Sizes, Workbench
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.learn.augmentation import Centre
from pt4al_backend.learn.networks import ResNetForm, build
from pt4al_backend.learn.pretext.rotation import Rotation
from pt4al_backend.learn.stored_images import StoredImages
from tests.support import pools

pytestmark = pytest.mark.training

CPU = torch.device("cpu")


@pytest.fixture
def learner() -> Rotation:
    torch.manual_seed(0)
    return Rotation(build(ResNetForm("small", 8)))


def filed(folder: Path, store: Path, count: int) -> list[Path]:
    """The images of a store as files, their channels as the released code reads them."""
    with FrameFile(store, pools.SHAPE) as pixels:
        for k, frame in enumerate(pixels.read(np.arange(count))):
            cv2.imwrite(str(folder / f"{k}.png"), frame)
    return [folder / f"{k}.png" for k in range(count)]


def test_the_released_way_of_scoring_finds_the_same_losses(tmp_path: Path, learner: Rotation) -> None:
    store = pools.arrows(tmp_path / "store", 5)
    files = filed(tmp_path, store, 5)
    released.score(learner.model, files, tmp_path / "losses.txt", CPU)
    lines = [line.split("_", 1) for line in (tmp_path / "losses.txt").read_text().splitlines()]
    with FrameFile(store, pools.SHAPE) as pixels, torch.inference_mode():
        (images,) = StoredImages(pixels, np.arange(5), Centre(pools.SHAPE)).minibatch(np.arange(5), np.random.default_rng(0))
        expected = learner.scores(images)[:, 0]
    assert [name for _, name in lines] == [str(file) for file in files]
    np.testing.assert_allclose([float(loss) for loss, _ in lines], expected.numpy(), rtol=1e-4)


def test_the_released_way_of_training_learns(tmp_path: Path, learner: Rotation) -> None:
    files = filed(tmp_path, pools.arrows(tmp_path / "store", 16), 16)

    def loss() -> float:
        images = released.read(files)
        with torch.inference_mode():
            return float(learner.loss((images,), np.random.default_rng(0)))

    before = loss()
    for _ in range(15):
        released.train(learner.model, files, 8, CPU)
    learner.model.train()
    assert loss() < before


@pytest.mark.slow
def test_each_comparison_has_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "REPEATS", 1)
    with Workbench(tmp_path / "no-label-studio", Sizes(images=32)) as bench:
        lines = training.measure(bench)
    assert [line.unit for line in lines] == ["%", "%", "x", "x"]
    assert all(line.value > 0 and "n = " in line.note for line in lines)


def test_ratios_are_of_what_was_timed_in_the_same_turn() -> None:
    assert training.by([1.0, 20.0, 3.0], [2.0, 40.0, 3.0]) == 0.5
