"""The loop: it resumes where it stopped, halves minibatches when memory runs out, and names what is wrong."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.learn.checkpoint import Checkpoint
from pt4al_backend.learn.loop import Recipe, Training
from pt4al_backend.learn.minibatches import Minibatch
from pt4al_backend.learn.networks import Classifier, TimmEncoder, TimmForm
from pt4al_backend.learn.objective import Objective
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress
from tests.support.encoders import ENCODER
from tests.support.objectives import Points, Sum

pytestmark = pytest.mark.training

CPU = torch.device("cpu")


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
    reported: list[Progress] = []
    objective, data = Sum(), Points(40)
    first = Training(objective, data, recipe(epochs=1), device=CPU).run()
    assert Training(objective, data, recipe(epochs=30), device=CPU, report=reported.append).run() < first / 2
    assert reported[-1] == Progress(Phase.TRAINING, 30, 30, 40, 40)
    assert [progress.done for progress in reported[:5]] == [8, 16, 24, 32, 40]


def test_killed_training_ends_with_the_weights_of_an_unbroken_one(tmp_path: Path) -> None:
    whole, killed, resumed = Sum(), Sum(), Sum()
    Training(whole, Points(40), recipe(), device=CPU, seed=5).run()
    with pytest.raises(Killed):
        Training(killed, Points(40), recipe(), device=CPU, seed=5, checkpoint=checkpoint(tmp_path), report=kill_in(4)).run()
    reported: list[Progress] = []
    training = Training(
        resumed, Points(40), recipe(), device=CPU, seed=5, checkpoint=checkpoint(tmp_path), report=reported.append
    )
    training.run()
    assert training.earlier > 0
    assert reported[0].note == "Resuming after epoch 3 of 6."
    assert {progress.epoch for progress in reported} == {4, 5, 6}
    for ours, expected in zip(weights(resumed), weights(whole), strict=True):
        torch.testing.assert_close(ours, expected)


def test_training_killed_after_its_last_epoch_trains_no_further(tmp_path: Path) -> None:
    Training(Sum(), Points(40), recipe(epochs=1), device=CPU, checkpoint=checkpoint(tmp_path)).run()
    again = Sum()
    Training(again, Points(40), recipe(epochs=1), device=CPU, checkpoint=checkpoint(tmp_path)).run()
    assert again.sizes == []


def test_out_of_memory_halves_the_minibatch_and_is_reported() -> None:
    reported: list[Progress] = []
    objective = Sum(room=9)
    Training(objective, Points(40), recipe(epochs=2, size=32), device=CPU, report=reported.append).run()
    assert sum(objective.sizes) == 2 * 40
    assert [progress.note for progress in reported if progress.note] == [
        "Memory ran out: continuing with minibatches of 16 images.",
        "Memory ran out: continuing with minibatches of 8 images.",
    ]


def test_diverged_loss_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(TrainingImpossible, match=r"learning_rate.*less than 1e\+30"):
        Training(Sum(), Points(40), recipe(rate=1e30), device=CPU).run()


def test_training_refuses_a_single_image() -> None:
    with pytest.raises(TrainingImpossible, match="two images"):
        Training(Sum(), Points(1), recipe(), device=CPU)


def test_three_images_are_not_cut_into_two_and_one() -> None:
    objective = Sum()
    Training(objective, Points(3), recipe(epochs=1, size=2), device=CPU).run()
    assert objective.sizes == [3]


def test_cosine_schedule_warms_up_and_ends_at_zero() -> None:
    cosine = Recipe(epochs=10, minibatch_size=8, learning_rate=0.1, warmup=0.2)
    assert cosine.rate(0.1) == pytest.approx(0.05, rel=0.05)
    assert cosine.rate(0.999) < 1e-5
    assert max(cosine.rate(done) for done in np.linspace(0, 1, 101)) <= 0.1


def test_step_schedule_is_the_papers() -> None:
    step = Recipe(epochs=200, minibatch_size=128, learning_rate=0.1, schedule="step")
    assert [step.rate(epoch / 200) for epoch in (0, 159, 160, 199)] == pytest.approx([0.1, 0.1, 0.01, 0.01])


class Steady(Objective):
    """Its loss has the gradient 1 in every weight of a classifier on a pretrained encoder."""

    outputs = 1

    def __init__(self) -> None:
        self.model: Classifier = Classifier(TimmEncoder(TimmForm(ENCODER)), 2)

    def loss(self, minibatch: Minibatch, _: np.random.Generator) -> Tensor:
        return torch.stack([parameter.sum() for parameter in self.model.parameters()]).sum()

    def scores(self, images: Tensor) -> Tensor:
        raise NotImplementedError


def test_levels_of_an_encoder_learn_the_less_the_nearer_to_the_pixels() -> None:
    objective = Steady()
    before = {name: value.detach().clone() for name, value in objective.model.named_parameters()}
    decaying = Recipe(epochs=1, minibatch_size=8, learning_rate=0.1, weight_decay=0.0, layer_decay=0.5)
    Training(objective, Points(8), decaying, device=CPU).run()
    after = {name: value.detach() for name, value in objective.model.named_parameters()}
    moved = {name: float((before[name] - value).abs().mean()) for name, value in after.items()}
    levels = ("head", "body.net.conv_head", "body.net.blocks.4", "body.net.blocks.3", "body.net.blocks.0", "body.net.conv_stem")
    shares = [
        {round(share / moved["head.bias"], 3) for name, share in moved.items() if name.startswith(level)} for level in levels
    ]
    assert shares == [{1.0}, {0.5}, {0.5}, {0.25}, {0.031}, {0.016}]
