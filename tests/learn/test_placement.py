"""Wherever images live, their minibatches are the same, bit by bit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pt4al_backend.config import ProjectSettings
from pt4al_backend.config.catalog import MAIN_TASKS
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.learn.augmentation import Centre, ResizedCrops
from pt4al_backend.learn.loop import Recipe, Training
from pt4al_backend.learn.minibatches import Data
from pt4al_backend.learn.networks import ResNetForm, build
from pt4al_backend.learn.placement import DeviceImages, SentData, on_device, placed
from pt4al_backend.learn.stored_images import StoredImages
from pt4al_backend.learn.tasks.base import MainTask
from tests.support import pools

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def assert_the_same(ours: Data, theirs: Data) -> None:
    """Minibatches of the same bits in the same layout, which kernels are chosen by."""
    assert len(ours) == len(theirs)
    for positions in (np.arange(len(theirs)), np.array([3, 0, 3])):
        drawn, expected = (data.minibatch(positions, np.random.default_rng(1)) for data in (ours, theirs))
        for one, other in zip(drawn, expected, strict=True):
            assert (one.dtype, one.stride()) == (other.dtype, other.stride())
            assert torch.equal(one.cpu(), other)


@pytest.mark.parametrize("targets", [None, np.arange(5) * 10])
def test_images_on_a_device_equal_those_in_the_file(
    tmp_path: Path, targets: NDArray[np.int64] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pt4al_backend.learn.placement._MOVED_TOGETHER", 2)
    with FrameFile(pools.arrows(tmp_path / "store", 6), pools.SHAPE) as store:
        images = StoredImages(store, np.array([4, 1, 5, 0, 2]), Centre((12, 10)), targets)
        assert_the_same(DeviceImages(images, CPU), images)


def test_training_ends_with_the_same_weights_wherever_its_images_live(tmp_path: Path) -> None:
    def trained(pixels: FrameFile, moved: bool) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        settings = ProjectSettings()
        task = MAIN_TASKS.load("classification", MainTask)(
            build(ResNetForm("small", 4)), pools.ARROWS.classes, pools.SHAPE, settings
        )
        rows = np.arange(16)
        data = task.training_data(pixels, rows, pools.targets(rows))
        assert isinstance(data, StoredImages)
        Training(task, DeviceImages(data, CPU) if moved else data, Recipe(2, 8, 0.05), device=CPU, seed=3).run()
        return task.model.state_dict()

    with FrameFile(pools.arrows(tmp_path / "store", 16), pools.SHAPE) as store:
        ours, expected = trained(store, moved=True), trained(store, moved=False)
    assert all(torch.equal(ours[name], expected[name]) for name in expected)


def test_images_live_on_a_device_only_if_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FrameFile(pools.arrows(tmp_path / "store", 6), pools.SHAPE) as store:
        images = StoredImages(store, np.arange(6), Centre((12, 12)))
        assert on_device(images, CPU, room=6 * 12 * 12 * 3) is not None
        assert on_device(images, CPU, room=6 * 12 * 12 * 3 - 1) is None

        def full(*_: object, **__: object) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

        monkeypatch.setattr(torch, "empty", full)
        assert on_device(images, CPU, room=10**6) is None


def test_cpu_reads_the_file(tmp_path: Path) -> None:
    with FrameFile(pools.arrows(tmp_path / "store", 6), pools.SHAPE) as store:
        images = StoredImages(store, np.arange(6), Centre(pools.SHAPE))
        assert placed(images, CPU, epochs=9) is images


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_gpu_keeps_images_that_are_drawn_again_and_not_prepared_at_random(tmp_path: Path) -> None:
    with FrameFile(pools.arrows(tmp_path / "store", 6), pools.SHAPE) as store:
        images = StoredImages(store, np.arange(6), Centre(pools.SHAPE), np.arange(6))
        crops = StoredImages(store, np.arange(6), ResizedCrops((12, 12)), np.arange(6))
        again, once, cropped = placed(images, GPU, epochs=2), placed(images, GPU), placed(crops, GPU, epochs=2)
        assert [type(each) for each in (again, once, cropped)] == [DeviceImages, SentData, SentData]
        for data in (again, once):
            assert_the_same(data, images)
            assert data.minibatch(np.arange(2), np.random.default_rng(0))[0].is_cuda
