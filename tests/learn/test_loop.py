"""The loop: it goes on where it stopped, retreats when memory runs out, and says what is wrong."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.learn.checkpoint import Checkpoint
from pt4al_backend.learn.inference import score
from pt4al_backend.learn.loop import Recipe, Training
from pt4al_backend.learn.minibatches import Minibatch
from pt4al_backend.learn.objective import Objective
from pt4al_backend.learn.progress import Progress

pytestmark = pytest.mark.training

CPU = torch.device("cpu")


class Points:
    """Data of ``count`` "images" of two numbers, and the sum of both as the target."""

    def __init__(self, count: int) -> None:
        self.points = torch.from_numpy(np.random.default_rng(0).normal(size=(count, 2))).float()

    def __len__(self) -> int:
        return len(self.points)

    def minibatch(self, positions: NDArray[np.int64], rng: np.random.Generator) -> Minibatch:
        points = self.points[torch.from_numpy(positions)]
        return points, points.sum(1, keepdim=True)


class Sum(Objective):
    """Learns to add; ``room`` is how many images it has memory for."""

    outputs = 1

    def __init__(self, room: int = 10**6) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1))
        self.room = room
        self.sizes: list[int] = []

    def loss(self, minibatch: Minibatch, rng: np.random.Generator) -> Tensor:
        points, sums = minibatch
        if len(points) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.sizes.append(len(points))
        noisy = points + torch.from_numpy(rng.normal(0, 0.01, points.shape)).float()
        return (self.model(noisy) - sums).square().mean()

    def scores(self, images: Tensor) -> Tensor:
        if len(images) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        with torch.autocast("cpu", enabled=False):
            result: Tensor = self.model(images)
        return result


def recipe(epochs: int = 6, size: int = 8, rate: float = 0.05) -> Recipe:
    return Recipe(epochs=epochs, minibatch_size=size, learning_rate=rate, warmup=0.1)


def weights(objective: Objective) -> list[Tensor]:
    return [value.clone() for value in objective.model.state_dict().values()]


class Killed(Exception):
    """What stands for a kill in these tests."""


def kill_in(epoch: int) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        if progress.epoch == epoch and progress.done > 10:
            raise Killed

    return report


def checkpoint(tmp_path: Path, fingerprint: str = "this") -> Checkpoint:
    return Checkpoint(tmp_path / "checkpoint.pt", fingerprint, share=1e9)  # epochs this short would not all be kept


def test_training_lowers_the_loss_and_reports_every_minibatch() -> None:
    told: list[Progress] = []
    objective, data = Sum(), Points(40)
    first = Training(objective, data, recipe(epochs=1), device=CPU).run()
    assert Training(objective, data, recipe(epochs=30), device=CPU, report=told.append).run() < first / 2
    assert told[-1] == Progress("training", 30, 30, 40, 40)
    assert [progress.done for progress in told[:5]] == [8, 16, 24, 32, 40]


def test_a_training_that_was_killed_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole, killed, resumed = Sum(), Sum(), Sum()
    Training(whole, Points(40), recipe(), device=CPU, seed=5).run()
    with pytest.raises(Killed):
        Training(killed, Points(40), recipe(), device=CPU, seed=5, checkpoint=checkpoint(tmp_path), report=kill_in(4)).run()
    told: list[Progress] = []
    training = Training(resumed, Points(40), recipe(), device=CPU, seed=5, checkpoint=checkpoint(tmp_path), report=told.append)
    training.run()
    assert training.earlier > 0
    assert told[0].note == "Resuming after epoch 3 of 6."
    assert {progress.epoch for progress in told} == {4, 5, 6}
    for ours, expected in zip(weights(resumed), weights(whole), strict=True):
        torch.testing.assert_close(ours, expected)


def test_a_training_killed_after_its_last_epoch_has_nothing_left_to_do(tmp_path: Path) -> None:
    Training(Sum(), Points(40), recipe(epochs=1), device=CPU, checkpoint=checkpoint(tmp_path)).run()
    again = Sum()
    Training(again, Points(40), recipe(epochs=1), device=CPU, checkpoint=checkpoint(tmp_path)).run()
    assert again.sizes == []


@pytest.mark.parametrize("damage", ["truncated", "empty", "other work", "not an archive"])
def test_a_useless_checkpoint_is_passed_over_with_a_note(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "checkpoint.pt"
    Training(Sum(), Points(40), recipe(epochs=1), device=CPU, checkpoint=checkpoint(tmp_path)).run()
    content = path.read_bytes()
    path.write_bytes({"truncated": content[:-200], "empty": b"", "not an archive": b"hello"}.get(damage, content))
    told: list[Progress] = []
    fingerprint = "another" if damage == "other work" else "this"
    Training(
        Sum(), Points(40), recipe(epochs=2), device=CPU, checkpoint=checkpoint(tmp_path, fingerprint), report=told.append
    ).run()
    assert told[0].note.startswith("Starting from the first epoch")
    assert told[-1].epoch == 2


def test_a_checkpoint_that_would_run_code_is_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
            return Path.touch, (marker,)

    torch.save({"fingerprint": "this", "epoch": Evil()}, tmp_path / "checkpoint.pt")
    Training(Sum(), Points(40), recipe(epochs=1), device=CPU, checkpoint=checkpoint(tmp_path)).run()
    assert not marker.exists()


def test_when_memory_runs_out_training_goes_on_with_half_the_minibatch_and_says_so() -> None:
    told: list[Progress] = []
    objective = Sum(room=9)
    Training(objective, Points(40), recipe(epochs=2, size=32), device=CPU, report=told.append).run()
    assert sum(objective.sizes) == 2 * 40
    assert [progress.note for progress in told if progress.note] == [
        "Memory ran out: continuing with minibatches of 16 images.",
        "Memory ran out: continuing with minibatches of 8 images.",
    ]


def test_a_loss_that_is_not_finite_ends_the_training_and_names_the_setting() -> None:
    with pytest.raises(TrainingImpossible, match=r"learning_rate.*less than 1e\+30"):
        Training(Sum(), Points(40), recipe(rate=1e30), device=CPU).run()


def test_one_image_is_too_few() -> None:
    with pytest.raises(TrainingImpossible, match="two images"):
        Training(Sum(), Points(1), recipe(), device=CPU)


def test_three_images_in_minibatches_of_two_do_not_break_batch_normalisation() -> None:
    objective = Sum()
    Training(objective, Points(3), recipe(epochs=1, size=2), device=CPU).run()
    assert objective.sizes == [3]


def test_scores_come_in_the_order_of_the_data_and_survive_short_memory() -> None:
    objective, data = Sum(), Points(25)
    scores = score(objective, data, 8, device=CPU)
    assert scores.shape == (25, 1)
    np.testing.assert_array_equal(score(Sum(room=4), data, 16, device=CPU), score(objective, data, 4, device=CPU))
    np.testing.assert_allclose(score(objective, data, 4, device=CPU), scores, rtol=1e-5)


def test_nothing_to_score_is_no_error() -> None:
    assert score(Sum(), Points(0), 8, device=CPU).shape == (0, 1)


def test_the_cosine_schedule_warms_up_and_ends_at_zero() -> None:
    cosine = Recipe(epochs=10, minibatch_size=8, learning_rate=0.1, warmup=0.2)
    assert cosine.rate(0.1) == pytest.approx(0.05, rel=0.05)
    assert cosine.rate(0.999) < 1e-5
    assert max(cosine.rate(done) for done in np.linspace(0, 1, 101)) <= 0.1


def test_the_step_schedule_is_the_papers() -> None:
    step = Recipe(epochs=200, minibatch_size=128, learning_rate=0.1, schedule="step")
    assert [step.rate(epoch / 200) for epoch in (0, 159, 160, 199)] == pytest.approx([0.1, 0.1, 0.01, 0.01])
