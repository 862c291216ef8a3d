"""Minibatches: every image once, whatever the size, whatever memory does."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.learn.minibatches import Cut, Minibatch, cut_evenly, cut_exactly, stream


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
def test_out_of_memory_halves_the_size_and_every_image_passes_once(cut: Cut) -> None:
    passed, last, retreats, _ = streamed(50, 32, room=9, cut=cut)
    assert passed == list(range(50))
    assert (last, retreats) == (8, [16, 8])


def test_out_of_memory_with_two_images_is_an_error_with_a_remedy() -> None:
    with pytest.raises(TrainingImpossible, match="image_size"):
        streamed(8, 8, room=0)


def test_cpu_allocators_error_counts_as_out_of_memory_and_others_do_not() -> None:
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


def test_random_numbers_depend_on_the_place_in_the_epoch_alone() -> None:
    assert streamed(12, 4, room=4)[3].draws == streamed(12, 4, room=4)[3].draws
    whole, rest = Numbers(12), Numbers(12)
    for data, order in ((whole, np.arange(12)), (rest, np.arange(4))):
        stream(data, order, 4, cut=cut_exactly, seeds=(7, 3), step=lambda *_: None, retreat=lambda size: None)
    assert whole.draws[0] == rest.draws[0]
    assert len(set(whole.draws)) == 3
