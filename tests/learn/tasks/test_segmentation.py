"""Segmentation: what it learns, how sure it is, what void and absent classes do, and its recipes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pt4al_backend.config import ProjectSettings
from pt4al_backend.config.catalog import MAIN_TASK_FACTS, MAIN_TASKS
from pt4al_backend.errors import StoreCorrupt, TrainingImpossible
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.frames import Shape
from pt4al_backend.images.mask_files import UNLABELLED, Mask, MaskFiles
from pt4al_backend.learn.inference import scoring_size
from pt4al_backend.learn.loop import Training
from pt4al_backend.learn.networks import ResNetForm, build
from pt4al_backend.learn.tasks.base import MainTask
from pt4al_backend.learn.tasks.segmentation import Segmentation, mean_of_lowest, pixel_confidences
from pt4al_backend.query.confidence import SAMPLERS
from tests.support import learning, pools

pytestmark = pytest.mark.training

CPU, GPU = torch.device("cpu"), torch.device("cuda")
SHAPE = (32, 48)
CLASSES = tuple(pools.SCENERY)
SCENES = 24


def task(classes: tuple[str, ...] = CLASSES, shape: Shape = SHAPE, **settings: Any) -> Segmentation:
    torch.manual_seed(0)
    given = ProjectSettings(**{"encoder": "resnet18", "background": "ground", **settings})
    return Segmentation(build(Segmentation.form(shape, given, CPU)), classes, shape, given)


@pytest.fixture
def pixels(tmp_path: Path) -> Iterator[FrameFile]:
    with FrameFile(pools.scenes(tmp_path / "store", SCENES, SHAPE), SHAPE) as store:
        yield store


def truths(rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    return np.stack([pools.scene(row, SHAPE)[1] for row in rows.tolist()])


def predictions(learned: Segmentation, pixels: FrameFile, rows: NDArray[np.int64]) -> Any:
    return learning.predictions(learned, pixels, rows, SHAPE, 8)


def test_segmentation_is_in_the_catalog_with_its_pretext_task() -> None:
    assert MAIN_TASKS.load("segmentation", MainTask) is Segmentation
    assert MAIN_TASK_FACTS.keys() == MAIN_TASKS.keys()


@pytest.mark.slow
def test_segmentation_learns_what_a_person_can_see(pixels: FrameFile) -> None:
    train, test = np.arange(16), np.arange(16, SCENES)
    learned = task(epochs=25)
    learning.train(learned, pixels, train, truths(train))
    confidences, answers = learned.interpret(predictions(learned, pixels, test))
    metrics = learned.metrics(learned.tally(answers, truths(test)))
    assert metrics["value"] > 0.75
    assert confidences.keys() == SAMPLERS.keys()
    assert metrics["low"] <= metrics["value"] <= metrics["high"]
    assert metrics["classes"].keys() == set(CLASSES)
    for answer in answers:
        assert isinstance(answer, Mask)
        assert answer.ids.shape == SHAPE
        assert answer.scores.keys() == set(np.unique(answer.ids).tolist())
        assert all(0 < score <= 1 for score in answer.scores.values())


def test_confidences_do_not_depend_on_the_rest_of_the_minibatch(pixels: FrameFile) -> None:
    learned = task()
    rows = np.arange(11)
    confidences, ids, scores = predictions(learned, pixels, rows)
    assert confidences.dtype == np.float64
    assert ((confidences >= 0) & (confidences <= 1)).all()
    order = np.random.default_rng(0).permutation(11)
    for ours, theirs in zip(predictions(learned, pixels, order), (confidences, ids, scores), strict=True):
        np.testing.assert_array_equal(ours, theirs[order])
    assert len(np.unique(confidences[:, 0])) == 11  # posteriors of different images do not tie


def test_pixel_confidences_equal_the_samplers_confidences() -> None:
    for classes in (1, 2, 5):
        logits = 3 * torch.randn((2, classes, 4, 6), generator=torch.Generator().manual_seed(classes))
        logits[0, :, 0, 0] = 100.0 * torch.arange(classes)  # as sure as can be
        rows = torch.softmax(logits, 1).permute(0, 2, 3, 1).reshape(-1, classes).numpy()
        values, ids = pixel_confidences(logits)
        for k, sampler in enumerate(SAMPLERS.values()):
            np.testing.assert_allclose(values[:, k].flatten(), sampler(rows), atol=1e-6)
        np.testing.assert_array_equal(ids.flatten(), rows.argmax(1))


def test_image_confidence_is_the_mean_over_its_least_certain_pixels() -> None:
    values = torch.arange(10.0).view(1, 1, 2, 5) / 10
    assert mean_of_lowest(values, 1.0).item() == pytest.approx(0.45)
    assert mean_of_lowest(values, 0.3).item() == pytest.approx(0.1)
    assert mean_of_lowest(values, 0.01).item() == 0


def test_uncertain_share_lowers_confidences_and_keeps_the_mask(pixels: FrameFile) -> None:
    whole, least = (predictions(task(uncertain_share=share), pixels, np.arange(4)) for share in (1.0, 0.1))
    assert (least[0] < whole[0]).all()
    np.testing.assert_array_equal(least[1], whole[1])


def test_diverged_model_is_an_error_at_any_uncertain_share() -> None:
    learned = task(uncertain_share=0.1).model.eval()
    diverged = task(uncertain_share=0.1)
    diverged.model = learned
    with torch.no_grad():
        learned.head.bias[1] = torch.nan
    with torch.inference_mode(), pytest.raises(TrainingImpossible, match="learning_rate"):
        diverged.interpret(tuple(part.numpy() for part in diverged.predict(torch.zeros((1, 3, *SHAPE), dtype=torch.uint8))))


# targets


def kept(folder: Path, *masks: NDArray[np.uint8]) -> tuple[MaskFiles, list[str]]:
    store = MaskFiles(folder)
    return store, [store.put(Mask(mask)) for mask in masks]


@pytest.mark.parametrize(("setting", "expected"), [("background", 0), ("ignore", UNLABELLED)])
def test_masks_of_any_size_are_scaled_to_the_frame(tmp_path: Path, setting: str, expected: int) -> None:
    wide = np.full((20, 60), 2, np.uint8)
    wide[:, :30] = UNLABELLED
    store, names = kept(tmp_path, wide, np.full((1, 1), UNLABELLED, np.uint8), np.full((9, 9), 1, np.uint8))
    targets = task(unlabelled=setting).targets(names, store, tmp_path / "file")
    first, nothing, square = targets[np.arange(3)]
    assert (first.shape, first.dtype) == (SHAPE, np.uint8)
    assert set(np.unique(first[:16, :23])) == {expected}
    assert set(np.unique(first[:16, 25:])) == {2}
    assert set(np.unique(nothing)) == {expected}
    np.testing.assert_array_equal(square, 1)
    np.testing.assert_array_equal(targets[np.array([2, 0])], [square, first])


def test_missing_or_damaged_mask_is_an_error(tmp_path: Path) -> None:
    store, (name,) = kept(tmp_path / "masks", np.zeros((8, 8), np.uint8))
    path = next((tmp_path / "masks").iterdir())
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(StoreCorrupt, match="damaged"):
        task().targets([name], store, tmp_path / "file")
    path.unlink()
    with pytest.raises(StoreCorrupt, match="missing"):
        task().targets([name], store, tmp_path / "file")


@pytest.mark.parametrize("name", ["sun", "../../x", "", "8x8-../../etc"])
def test_label_that_is_no_mask_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(TrainingImpossible, match="is no mask"):
        task().targets([name], MaskFiles(tmp_path), tmp_path / "file")


def test_unknown_class_is_refused(tmp_path: Path) -> None:
    store, names = kept(tmp_path, np.full((8, 8), 3, np.uint8))
    with pytest.raises(TrainingImpossible, match="class number 3"):
        task().targets(names, store, tmp_path / "file")
    with pytest.raises(TrainingImpossible, match="'nowhere'"):
        task(background="nowhere").targets(names, store, tmp_path / "file")


# the loss


def loss(masks: NDArray[np.uint8], **settings: Any) -> torch.Tensor:
    """Of scenes under masks, by an untrained model that prefers the first class."""
    learned = task(**settings)
    images = np.stack([pools.scene(k, SHAPE)[0] for k in range(len(masks))])
    with torch.no_grad():
        learned.model.head.bias.copy_(torch.tensor([4.0, 0.0, 0.0]))
    if settings.get("class_weights"):
        learned.training_data(None, np.arange(len(masks)), masks)  # type: ignore[arg-type]
    return learned.loss((torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(masks)), np.random.default_rng(0))


def test_void_pixels_have_no_loss() -> None:
    masks = truths(np.arange(2))
    partly = masks.copy()
    partly[:, :, 24:] = UNLABELLED
    learned = loss(np.full_like(masks, UNLABELLED))
    assert learned.item() == 0
    learned.backward()
    assert loss(partly).item() != loss(masks).item()
    whole = np.concatenate([masks, np.full_like(masks, UNLABELLED)])
    assert loss(whole).isfinite()


def test_minibatch_of_one_image_has_a_finite_loss() -> None:
    learned = loss(truths(np.array([1])))
    learned.backward()
    assert learned.isfinite()


def test_class_weights_raise_the_loss_of_classes_with_few_pixels() -> None:
    masks = np.zeros((2, *SHAPE), np.uint8)
    masks[:, :4, :4] = 1
    assert loss(masks, class_weights="balanced").item() > 5 * loss(masks).item()


def test_class_without_a_drawn_pixel_is_no_obstacle(pixels: FrameFile) -> None:
    rows = np.arange(4)
    learned = task((*CLASSES, "ship"), class_weights="balanced", epochs=1)
    training_data = learned.training_data(pixels, rows, truths(rows))
    assert np.isfinite(Training(learned, training_data, learned.recipe(4, CPU, fresh=True), device=CPU).run())


@pytest.mark.parametrize(("value", "words"), [(UNLABELLED, "none"), (1, "only 'sun'")])
def test_pixels_of_one_class_alone_are_refused(pixels: FrameFile, value: int, words: str) -> None:
    with pytest.raises(TrainingImpossible, match=words):
        task().training_data(pixels, np.arange(3), np.full((3, *SHAPE), value, np.uint8))


def test_randomness_of_a_step_depends_on_the_step_alone() -> None:
    first = loss(truths(np.arange(2)))
    torch.manual_seed(99)
    torch.rand(7)
    assert loss(truths(np.arange(2))) == first


# forms and recipes


def test_encoder_depends_on_the_device_and_the_settings() -> None:
    assert Segmentation.form(SHAPE, ProjectSettings(), CPU).imagenet == "resnet18"
    assert Segmentation.form(SHAPE, ProjectSettings(), GPU).imagenet == "resnet101"
    paper = Segmentation.form(SHAPE, ProjectSettings(preset="paper"), CPU)
    assert (paper.imagenet, paper.stride) == ("resnet101", 8)  # type: ignore[union-attr]


def test_body_that_is_no_encoder_is_refused() -> None:
    with pytest.raises(TypeError):
        Segmentation(build(ResNetForm("small", 8)), CLASSES, SHAPE, ProjectSettings())


def test_more_classes_make_scoring_minibatches_smaller() -> None:
    sizes = [scoring_size(GPU, (384, 512), 1, classes) for classes in (2, 20, 200)]
    assert sizes == sorted(sizes, reverse=True)
    assert 384 * 512 * sizes[-1] * 200 * 4 < 4e9
    assert scoring_size(GPU, (384, 512), 1) > sizes[0]
