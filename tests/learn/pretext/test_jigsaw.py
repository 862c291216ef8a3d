"""Jigsaw: the arrangements, the tiles, and how both meet in the network."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pt4al_backend.learn.networks import ResNetForm, build
from pt4al_backend.learn.pretext.jigsaw import Jigsaw, Puzzle, arrangements, tiles


def numbered(height: int, width: int) -> Tensor:
    """An image whose nine cells are filled with their number, uint8 [1, 3, height, width]."""
    rows, columns = np.arange(height) // (height // 3), np.arange(width) // (width // 3)
    cells = 3 * rows[:, None] + columns
    return torch.from_numpy(np.broadcast_to(cells.astype(np.uint8), (1, 3, height, width)).copy())


def test_arrangements_are_distinct_permutations_far_from_each_other() -> None:
    chosen = arrangements()
    assert chosen.shape == (30, 9)
    assert (np.sort(chosen, 1) == np.arange(9)).all()
    distances = (chosen[:, None] != chosen).sum(2)
    assert distances[~np.eye(30, dtype=bool)].min() >= 7


def test_arrangements_are_the_same_in_every_process() -> None:
    assert (arrangements()[:9] == arrangements(9)).all()
    arrangements.cache_clear()
    assert arrangements()[1].tolist() == [1, 0, 3, 2, 5, 4, 7, 8, 6]


@pytest.mark.parametrize(("height", "width"), [(32, 32), (16, 48), (96, 64)])
@pytest.mark.parametrize("seed", [None, 0, 1])
def test_each_tile_lies_in_its_cell(height: int, width: int, seed: int | None) -> None:
    cut = tiles(numbered(height, width), None if seed is None else np.random.default_rng(seed))
    assert cut.shape == (1, 9, 3, height // 3 * 64 // 75, width // 3 * 64 // 75)
    assert (cut == torch.arange(9.0).view(1, 9, 1, 1, 1)).all()


def test_tiles_move_in_training_and_are_centred_in_scoring() -> None:
    along = torch.arange(96, dtype=torch.uint8).expand(1, 3, 96, 96)
    rng = np.random.default_rng(0)
    first, second = tiles(along, rng), tiles(along, rng)
    assert not torch.equal(first, second)
    centred = tiles(along)[0, :, 0, 0]
    assert (centred[:, 0] - torch.tensor([0, 32, 64]).repeat(3)).tolist() == [2] * 9  # 32 - 27 pixels are free


def test_arranging_features_equals_arranging_tiles() -> None:
    torch.manual_seed(0)
    puzzle = Puzzle(build(ResNetForm.of((16, 16), 8))).eval()
    cut = 255 * torch.rand(2, 9, 3, 16, 16)
    logits = puzzle(cut)
    assert logits.shape == (2, 30, 30)
    for number in (1, 17, 29):
        arranged = puzzle(cut[:, arrangements()[number]])[:, 0]  # the first arrangement leaves them as they are
        torch.testing.assert_close(arranged, logits[:, number], rtol=1e-4, atol=1e-4)


def test_loss_is_the_mean_cross_entropy_over_arrangements() -> None:
    jigsaw = Jigsaw(build(ResNetForm.of((16, 16), 8)))
    logits = torch.zeros(2, 30, 30)
    logits[0] = 3 * torch.eye(30)
    jigsaw.model = lambda _: logits  # type: ignore[assignment]
    scores = jigsaw.scores(torch.zeros((2, 3, 32, 32), dtype=torch.uint8))
    np.testing.assert_allclose(scores, [[np.log(1 + 29 * np.exp(-3)), 1], [np.log(30), 1 / 30]], rtol=1e-6)


def test_brightness_and_contrast_of_an_image_change_nothing() -> None:
    torch.manual_seed(0)
    jigsaw = Jigsaw(build(ResNetForm.of((16, 16), 8)))
    jigsaw.model.eval()
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 100, (1, 3, 32, 32), dtype=np.uint8))
    torch.testing.assert_close(jigsaw.scores(2 * image + 40), jigsaw.scores(image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("accuracy", "means"), [(0.05, "no layout in common"), (0.1, "")])
def test_learner_near_guessing_ranks_nothing(accuracy: float, means: str) -> None:
    quality = Jigsaw(build(ResNetForm.of((16, 16), 8))).quality(np.stack([np.linspace(1, 2, 50), np.full(50, accuracy)], 1))
    assert quality.meaningful is (means == "")
    assert means in quality.reason
    assert quality.chance == pytest.approx(1 / 30)
