"""Multi-label classification: what it learns, refuses, weighs and answers, and how it is measured."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pt4al_backend.config import ProjectSettings
from pt4al_backend.config.catalog import MAIN_TASKS
from pt4al_backend.errors import TooFewClasses, TrainingImpossible
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.label_sets import LabelSet
from pt4al_backend.learn.networks import ResNetForm, build
from pt4al_backend.learn.tasks.base import MainTask
from pt4al_backend.learn.tasks.multilabel import Multilabel
from tests.support import learning, pools
from tests.support.pools import TAGS

pytestmark = pytest.mark.training

CPU = torch.device("cpu")


def task(classes: tuple[str, ...] = TAGS, **settings: object) -> Multilabel:
    torch.manual_seed(0)
    given = ProjectSettings(**settings)  # type: ignore[arg-type]
    return Multilabel(build(ResNetForm.of(pools.SHAPE, 8)), classes, pools.SHAPE, given)


def targets(rows: NDArray[np.int64], path: Path) -> NDArray[np.float32]:
    found: NDArray[np.float32] = task().targets(pools.tagged(path, rows).tolist(), None, path)[np.arange(len(rows))]
    return found


def answers(*posteriors: tuple[float, ...], classes: tuple[str, ...]) -> list[LabelSet]:
    _, found = task(classes).interpret((np.array(posteriors, np.float32),))
    return [each for each in found if isinstance(each, LabelSet)]


@pytest.fixture
def pixels(tmp_path: Path) -> Iterator[FrameFile]:
    with FrameFile(pools.arrows(tmp_path / "store", 120), pools.SHAPE) as store:
        yield store


def test_multilabel_is_in_the_catalog() -> None:
    assert MAIN_TASKS.load("multilabel", MainTask) is Multilabel


@pytest.mark.slow
def test_multilabel_learns_several_things_of_an_image(pixels: FrameFile, tmp_path: Path) -> None:
    train, test = np.arange(80), np.arange(80, 120)
    learned = task()
    learning.train(learned, pixels, train, targets(train, tmp_path))
    confidences, found = learned.interpret(learning.predictions(learned, pixels, test, pools.SHAPE))
    assert all(((values >= 0) & (values <= 1)).all() for values in confidences.values())
    metrics = learned.metrics(learned.tally(found, targets(test, tmp_path)))
    assert (metrics["metric"], metrics["total"]) == ("mAP", 40)
    assert metrics["classes"].keys() == set(TAGS)
    assert metrics["value"] is not None
    assert metrics["value"] >= 0.8


def test_a_class_belongs_to_the_answer_above_one_half() -> None:
    found = answers((0.51, 0.5, 0.9), (0.1, 0.2, 0.3), classes=("a", "b", "c"))
    assert [each.names for each in found] == [("a", "c"), ()]
    assert [each.text for each in found] == ['["a", "c"]', "[]"]


def test_measures_leave_out_classes_that_no_pick_has() -> None:
    given = answers((0.9, 0.2, 0.6), (0.8, 0.4, 0.1), (0.3, 0.1, 0.2), classes=("a", "b", "c"))
    learned = task(("a", "b", "c"))
    truth = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 0]], np.float32)
    found = learned.metrics(learned.tally(given, truth))
    assert (found["metric"], found["value"], found["total"]) == ("mAP", 1.0, 3)
    assert found["classes"]["b"] == found["classes"]["c"] == {"value": None, "low": None, "high": None, "picks": 0}
    assert found["exact_match"]["value"] == pytest.approx(2 / 3)
    assert found["exact_match"]["low"] == pytest.approx(0.208, abs=1e-3)  # Wilson


def test_without_control_picks_there_is_no_measure() -> None:
    learned = task()
    found = learned.metrics(learned.tally([], np.empty((0, 4), np.float32)))
    assert found["value"] is found["exact_match"]["value"] is None


def test_diverged_model_is_an_error() -> None:
    with pytest.raises(TrainingImpossible, match="learning_rate"):
        task().interpret((np.array([[0.5, np.nan, 0.5, 0.1]]),))


@pytest.mark.parametrize("held", [[], [0], [0, 3]])
def test_labels_that_are_all_alike_are_refused(pixels: FrameFile, held: list[int]) -> None:
    alike = np.zeros((3, 4), np.float32)
    alike[:, held] = 1
    with pytest.raises(TooFewClasses, match="some labelled images have and others have not"):
        task().training_data(pixels, np.arange(3), alike)


@pytest.mark.parametrize("label", ['["purple"]', "red", "", '["red"'])
def test_label_that_is_no_set_of_the_classes_is_refused(tmp_path: Path, label: str) -> None:
    with pytest.raises(TrainingImpossible, match="no set"):
        task().targets(['["red"]', label], None, tmp_path)


def test_class_weights_let_the_few_that_have_a_class_count_as_much_as_the_many(pixels: FrameFile) -> None:
    truth = np.zeros((8, 1), np.float32)
    truth[0] = 1
    images = torch.randint(0, 255, (8, 3, pools.SIZE, pools.SIZE), dtype=torch.uint8)
    shares = []
    for setting in ("none", "balanced"):
        learned = task(("rare",), class_weights=setting)
        with torch.no_grad():
            learned.model.head.weight.zero_()
            learned.model.head.bias.zero_()
        learned.training_data(pixels, np.arange(8), truth)
        losses = learned.losses((images, torch.from_numpy(truth)), np.random.default_rng(0)).values
        shares.append((losses[0] / losses.sum()).item())
    assert shares == pytest.approx([1 / 8, 1 / 2])


def test_the_loss_of_an_image_is_minus_the_logarithm_of_the_probability_of_its_set(pixels: FrameFile) -> None:
    learned, truth = task(), torch.tensor([[1.0, 0, 0, 1], [0, 0, 1, 0]])
    images = torch.randint(0, 255, (2, 3, pools.SIZE, pools.SIZE), dtype=torch.uint8)
    learned.model.eval()
    losses = learned.losses((images, truth), np.random.default_rng(0)).values
    (posteriors,) = learned.predict(images)
    right = torch.where(truth > 0, posteriors, 1 - posteriors).prod(1)
    torch.testing.assert_close(losses, -right.log())
