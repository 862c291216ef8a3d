"""Minibatches: every image once, whatever the size, whatever memory does."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pt4al_backend.config import ProjectSettings
from pt4al_backend.config.catalog import MAIN_TASKS
from pt4al_backend.errors import StoreCorrupt, TrainingImpossible
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.learn.augmentation import Centre, ResizedCrops
from pt4al_backend.learn.loop import Recipe, Training
from pt4al_backend.learn.minibatches import Cut, Data, Minibatch, cut_evenly, cut_exactly, stream
from pt4al_backend.learn.networks import ResNetForm, build
from pt4al_backend.learn.placement import DeviceImages, SentData, on_device, placed
from pt4al_backend.learn.stored_images import StoredImages, StoredPairs
from pt4al_backend.learn.tasks.base import MainTask
from tests.support import pools

CPU, GPU = torch.device("cpu"), torch.device("cuda")


class Numbers:
    """Data whose images are their own numbers."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.draws: list[float] = []

    def __len__(self) -> int:
        return self.count

    def minibatch(self, positions: NDArray[np.int64], rng: np.random.Generator) -> Minibatch:
        self.draws.append(float(rng.random()))
        return (torch.from_numpy(positions),)


def streamed(count: int, size: int, room: int, cut: Cut = cut_evenly) -> tuple[list[int], int, list[int], Numbers]:
    """Streams numbers through a machine with room for ``room`` images; what passed, the last size, the retreats, the data."""
    data, passed, retreats = Numbers(count), list[int](), list[int]()

    def step(part: NDArray[np.int64], minibatch: Minibatch, rng: np.random.Generator, done: int) -> None:
        if len(part) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        assert done == len(passed)
        passed.extend(minibatch[0].tolist())

    last = stream(data, np.arange(count), size, cut=cut, seeds=(1,), step=step, retreat=retreats.append)
    return passed, last, retreats, data


@pytest.mark.parametrize("count", [2, 3, 5, 17, 64, 65])
@pytest.mark.parametrize("size", [2, 3, 8, 64])
def test_no_minibatch_of_training_has_a_single_image(count: int, size: int) -> None:
    parts = cut_evenly(np.arange(count), size)
    assert np.concatenate(parts).tolist() == list(range(count))
    assert all(2 <= len(part) <= max(3, size) for part in parts)


@pytest.mark.parametrize("cut", [cut_evenly, cut_exactly])
def test_when_memory_runs_out_the_size_is_halved_and_every_image_still_passes_once(cut: Cut) -> None:
    passed, last, retreats, _ = streamed(50, 32, room=9, cut=cut)
    assert passed == list(range(50))
    assert (last, retreats) == (8, [16, 8])


def test_memory_too_short_for_two_images_is_an_error_with_a_remedy() -> None:
    with pytest.raises(TrainingImpossible, match="image_size"):
        streamed(8, 8, room=0)


def test_words_of_the_cpu_allocator_count_as_out_of_memory_and_other_errors_do_not() -> None:
    failures = [RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")]

    def step(part: NDArray[np.int64], minibatch: Minibatch, rng: np.random.Generator, done: int) -> None:
        if failures:
            raise failures.pop()

    def run() -> int:
        return stream(Numbers(8), np.arange(8), 8, cut=cut_evenly, seeds=(), step=step, retreat=lambda size: None)

    assert run() == 4
    failures.append(RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        run()


def test_random_numbers_hang_on_the_place_in_the_epoch_alone() -> None:
    assert streamed(12, 4, room=4)[3].draws == streamed(12, 4, room=4)[3].draws
    whole, rest = Numbers(12), Numbers(12)
    for data, order in ((whole, np.arange(12)), (rest, np.arange(4))):
        stream(data, order, 4, cut=cut_exactly, seeds=(7, 3), step=lambda *_: None, retreat=lambda size: None)
    assert whole.draws[0] == rest.draws[0]
    assert len(set(whole.draws)) == 3


def test_images_come_with_their_targets_as_channels_first_pixels(tmp_path: Path) -> None:
    with FrameFile(pools.arrows(tmp_path / "store", 6), pools.SHAPE) as store:
        rows = np.array([4, 1, 5])
        images, targets = StoredImages(store, rows, Centre((12, 12)), rows * 10).minibatch(
            np.array([2, 0]), np.random.default_rng(0)
        )
        expected = store.read(np.array([5, 4]))[:, 2:14, 2:14]
    assert images.dtype == torch.uint8
    np.testing.assert_array_equal(images.permute(0, 2, 3, 1).numpy(), expected)
    assert targets.tolist() == [50, 40]


def test_images_and_masks_are_prepared_together(tmp_path: Path) -> None:
    masks = np.arange(3 * 256, dtype=np.int64).reshape(3, 16, 16).astype(np.uint8)

    def turned(
        images: NDArray[np.uint8], masks: NDArray[np.uint8], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        assert 0 <= rng.random() < 1
        return images[:, ::-1], masks[:, ::-1]

    with FrameFile(pools.arrows(tmp_path / "store", 6), pools.SHAPE) as store:
        pairs = StoredPairs(store, np.array([4, 1, 5]), masks, turned)
        images, ours = pairs.minibatch(np.array([2, 0]), np.random.default_rng(0))
        expected = store.read(np.array([5, 4]))[:, ::-1]
    assert len(pairs) == 3
    np.testing.assert_array_equal(images.permute(0, 2, 3, 1).numpy(), expected)
    np.testing.assert_array_equal(ours.numpy(), masks[[2, 0], ::-1])


def test_a_damaged_store_is_told_from_the_background(tmp_path: Path) -> None:
    with FrameFile(pools.arrows(tmp_path / "store", 3), pools.SHAPE) as store:
        images = StoredImages(store, np.arange(9), Centre(pools.SHAPE))
        with pytest.raises(StoreCorrupt):
            stream(images, np.arange(9), 3, cut=cut_exactly, seeds=(), step=lambda *_: None, retreat=lambda size: None)


def assert_the_same(ours: Data, theirs: Data) -> None:
    """Minibatches of the same bits in the same layout, which kernels are chosen by."""
    assert len(ours) == len(theirs)
    for positions in (np.arange(len(theirs)), np.array([3, 0, 3])):
        drawn, expected = (data.minibatch(positions, np.random.default_rng(1)) for data in (ours, theirs))
        for one, other in zip(drawn, expected, strict=True):
            assert (one.dtype, one.stride()) == (other.dtype, other.stride())
            assert torch.equal(one.cpu(), other)


@pytest.mark.parametrize("targets", [None, np.arange(5) * 10])
def test_images_that_live_on_a_device_are_the_same(
    tmp_path: Path, targets: NDArray[np.int64] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pt4al_backend.learn.placement._MOVED_TOGETHER", 2)
    with FrameFile(pools.arrows(tmp_path / "store", 6), pools.SHAPE) as store:
        images = StoredImages(store, np.array([4, 1, 5, 0, 2]), Centre((12, 10)), targets)
        assert_the_same(DeviceImages(images, CPU), images)


def test_a_training_ends_with_the_same_weights_wherever_its_images_live(tmp_path: Path) -> None:
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


def test_a_cpu_reads_the_file(tmp_path: Path) -> None:
    with FrameFile(pools.arrows(tmp_path / "store", 6), pools.SHAPE) as store:
        images = StoredImages(store, np.arange(6), Centre(pools.SHAPE))
        assert placed(images, CPU, epochs=9) is images


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_on_a_gpu_images_that_are_drawn_again_live_there_unless_they_are_prepared_at_random(tmp_path: Path) -> None:
    with FrameFile(pools.arrows(tmp_path / "store", 6), pools.SHAPE) as store:
        images = StoredImages(store, np.arange(6), Centre(pools.SHAPE), np.arange(6))
        crops = StoredImages(store, np.arange(6), ResizedCrops((12, 12)), np.arange(6))
        again, once, cropped = placed(images, GPU, epochs=2), placed(images, GPU), placed(crops, GPU, epochs=2)
        assert [type(each) for each in (again, once, cropped)] == [DeviceImages, SentData, SentData]
        for data in (again, once):
            assert_the_same(data, images)
            assert data.minibatch(np.arange(2), np.random.default_rng(0))[0].is_cuda
