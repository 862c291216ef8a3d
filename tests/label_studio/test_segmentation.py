"""Labels that are drawn: what the state keeps of them, and what the editor shows of a model's masks."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pt4al_backend.config import ProjectSettings
from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.images.frames import fit_ids
from pt4al_backend.images.mask_files import UNLABELLED, Mask, MaskFiles
from pt4al_backend.label_studio import outlines
from pt4al_backend.label_studio.annotations import Answer
from pt4al_backend.label_studio.label_config import SegmentationConfig
from pt4al_backend.label_studio.segmentation import SegmentationReader

CONFIG = SegmentationConfig("classes", "image", "image", ("sky", "road"), "brush")
SKY, ROAD = 0, 1


@pytest.fixture
def drawn(tmp_path: Path) -> MaskFiles:
    return MaskFiles(tmp_path / "drawn")


@pytest.fixture
def predicted(tmp_path: Path) -> MaskFiles:
    return MaskFiles(tmp_path / "predicted")


@pytest.fixture
def drawings(drawn: MaskFiles, predicted: MaskFiles) -> SegmentationReader:
    return SegmentationReader(CONFIG, drawn, lambda: predicted, 1_000_000)


def half(left: int, right: int, width: int = 40, height: int = 30) -> Any:
    """A mask of two halves."""
    ids = np.full((height, width), left, np.uint8)
    ids[:, width // 2 :] = right
    return ids


def annotation(ids: Any, minute: int = 0, origin: str = "manual", **fields: Any) -> dict[str, Any]:
    regions = [{**region, "origin": origin} for region in outlines.regions_of(Mask(ids), CONFIG)] if ids is not None else []
    return {"id": minute, "result": regions, "updated_at": f"2026-11-21T09:{minute:02d}:00Z", "was_cancelled": False, **fields}


def test_drawing_is_kept_to_the_pixel(drawings: SegmentationReader, drawn: MaskFiles) -> None:
    ids = half(SKY, UNLABELLED)
    answer = drawings.answer_of([annotation(ids)])
    assert (answer.kind, answer.accepted, answer.problem) == ("label", False, None)
    assert np.array_equal(drawn.get(str(answer.label)).ids, ids)


def test_the_same_drawing_is_the_same_label(drawings: SegmentationReader) -> None:
    one, again, other = (drawings.answer_of([annotation(half(SKY, b))]).label for b in (ROAD, ROAD, SKY))
    assert one == again != other


def test_annotators_are_reconciled_pixel_by_pixel(drawings: SegmentationReader, drawn: MaskFiles) -> None:
    both = [annotation(half(SKY, ROAD), 1), annotation(half(ROAD, ROAD), 2)]
    assert np.array_equal(drawn.get(str(drawings.answer_of(both).label)).ids, half(ROAD, ROAD))  # of a tie the newest
    three = [*both, annotation(half(SKY, SKY), 3)]
    assert np.array_equal(drawn.get(str(drawings.answer_of(three[::-1]).label)).ids, half(SKY, ROAD))


def test_ground_truth_decides_every_pixel(drawings: SegmentationReader, drawn: MaskFiles) -> None:
    star = annotation(half(SKY, ROAD), 1, ground_truth=True)
    others = [annotation(half(ROAD, SKY), minute) for minute in (2, 3)]
    assert np.array_equal(drawn.get(str(drawings.answer_of([star, *others]).label)).ids, half(SKY, ROAD))


def test_region_without_a_pixel_is_counted_in_the_note(drawings: SegmentationReader, drawn: MaskFiles) -> None:
    one = annotation(half(SKY, ROAD))
    one["result"].append({**one["result"][0], "id": "stray", "value": {"brushlabels": ["sky"]}})
    answer = drawings.answer_of([one])
    assert np.array_equal(drawn.get(str(answer.label)).ids, half(SKY, ROAD))
    assert answer.problem == "1 region covers no pixel, the others count. Region stray: it has no outline."


def test_drawing_of_unknown_size_waits_for_its_image(drawings: SegmentationReader, drawn: MaskFiles) -> None:
    points = {"points": [[0, 0], [50, 0], [50, 100], [0, 100]], "polygonlabels": ["sky"]}
    one = {"id": 1, "result": [{"id": "a", "type": "polygonlabels", "from_name": "classes", "value": points}]}
    waiting = drawings.answer_of([one])
    assert (waiting.kind, waiting.waits) == ("skip", True)
    answer = drawings.answer_of([one], size=(40, 30))
    assert (answer.kind, answer.waits) == ("label", False)
    assert np.array_equal(drawn.get(str(answer.label)).ids, half(SKY, UNLABELLED))


def test_an_annotation_without_a_region_counts_and_fits_any_image(drawings: SegmentationReader) -> None:
    answer = drawings.answer_of([annotation(None)])
    assert answer.kind == "label"
    assert drawings.unusable_reason(str(answer.label), (640, 480)) == ""


def test_skips_and_unreadable_drawings_give_no_label(drawings: SegmentationReader) -> None:
    assert drawings.answer_of([]) == Answer("none")
    assert drawings.answer_of([annotation(half(SKY, ROAD), was_cancelled=True)]) == Answer("skip")
    broken = annotation(half(SKY, ROAD))
    broken["result"][0]["value"]["rle"] = broken["result"][0]["value"]["rle"][:20]
    answer = drawings.answer_of([broken])
    assert (answer.kind, answer.label) == ("skip", None)
    assert broken["result"][0]["id"] in str(answer.problem)


def test_an_annotation_that_cannot_be_read_leaves_the_others_their_label(drawings: SegmentationReader, drawn: MaskFiles) -> None:
    broken, good = annotation(half(SKY, ROAD), 2), annotation(half(SKY, SKY), 1)
    broken["result"][0]["value"]["rle"] = broken["result"][0]["value"]["rle"][:20]
    answer = drawings.answer_of([good, broken])
    assert answer.kind == "label"
    assert np.array_equal(drawn.get(str(answer.label)).ids, half(SKY, SKY))
    assert "1 of 2 annotations is left out" in str(answer.problem)
    assert broken["result"][0]["id"] in str(answer.problem)


def test_an_annotation_of_another_size_than_most_leaves_the_others_their_label(
    drawings: SegmentationReader, drawn: MaskFiles
) -> None:
    three = [annotation(half(SKY, ROAD), 1), annotation(half(SKY, ROAD), 2), annotation(half(SKY, ROAD, 50), 3, "prediction")]
    answer = drawings.answer_of([*three, annotation(None, 0)])
    assert (answer.kind, answer.accepted) == ("label", False)
    assert np.array_equal(drawn.get(str(answer.label)).ids, half(SKY, ROAD))
    assert "1 of 4 annotations is left out" in str(answer.problem)
    assert "50 x 30 pixels, but the others say 40 x 30" in str(answer.problem)


def test_drawing_of_another_size_than_the_image_is_reported(drawings: SegmentationReader) -> None:
    label = str(drawings.answer_of([annotation(half(SKY, ROAD))]).label)
    assert drawings.unusable_reason(label, (40, 30)) == ""
    assert "40 x 30 pixels, but the image has 80 x 60" in drawings.unusable_reason(label, (80, 60))


def test_a_drawing_that_only_repeats_a_prediction_is_marked(drawings: SegmentationReader) -> None:
    assert drawings.answer_of([annotation(half(SKY, ROAD), origin="prediction")]).accepted
    assert not drawings.answer_of([annotation(half(SKY, ROAD), origin="prediction-changed")]).accepted


@pytest.mark.parametrize(
    "config", [CONFIG, replace(CONFIG, shape="polygon"), replace(CONFIG, shape="bitmask"), replace(CONFIG, tool="tool")]
)
def test_a_prediction_of_which_a_region_was_deleted_is_a_correction(
    drawn: MaskFiles, predicted: MaskFiles, config: SegmentationConfig
) -> None:
    drawings = SegmentationReader(config, drawn, lambda: predicted, 1_000_000)
    shown = outlines.regions_of(Mask(half(SKY, ROAD)), config)
    predictions = {7: {"id": 7, "result": shown}}
    redrawn = [{**region, "id": f"other {region['id']}", "origin": "prediction"} for region in shown]  # as the editor names them
    first = [region for region in redrawn if region["id"] == redrawn[0]["id"]]
    whole, part = ({"result": result, "parent_prediction": 7} for result in (redrawn, first))
    assert drawings.answer_of([whole], predictions.get).accepted
    assert not drawings.answer_of([part], predictions.get).accepted
    assert not drawings.answer_of([whole, part], predictions.get).accepted
    assert drawings.answer_of([whole], {}.get).accepted  # the prediction was deleted since


def test_replaced_drawings_are_deleted(drawings: SegmentationReader, drawn: MaskFiles) -> None:
    old, new = (str(drawings.answer_of([annotation(half(SKY, b))]).label) for b in (SKY, ROAD))
    drawings.keep_only([new, ""])
    assert np.array_equal(drawn.get(new).ids, half(SKY, ROAD))
    with pytest.raises(StoreCorrupt):
        drawn.get(old)


@pytest.mark.parametrize(
    ("masks", "params", "missing"),
    [
        ([half(SKY, ROAD)], {}, "two labelled images"),
        ([half(SKY, SKY), half(SKY, SKY)[:20]], {}, "two classes"),
        ([half(SKY, UNLABELLED), half(SKY, SKY)], {}, ""),
        ([half(SKY, UNLABELLED), half(SKY, SKY)], {"background": "sky"}, "two classes"),
        ([half(SKY, UNLABELLED), half(SKY, SKY)], {"unlabelled": "ignore"}, "two classes"),
        ([half(SKY, SKY), half(ROAD, ROAD)], {"unlabelled": "ignore"}, ""),
    ],
)
def test_a_training_needs_two_images_and_two_classes(
    drawings: SegmentationReader, drawn: MaskFiles, masks: list[Any], params: dict[str, Any], missing: str
) -> None:
    found = drawings.missing_for_training([drawn.put(Mask(ids)) for ids in masks], ProjectSettings(**params), (30, 40))
    assert missing in found
    assert bool(found) == bool(missing)


def test_drawing_missing_from_the_disk_is_reported(drawings: SegmentationReader, drawn: MaskFiles) -> None:
    label = drawn.put(Mask(half(SKY, ROAD)))
    assert drawings.holds(label)
    assert drawings.holds("")
    drawn.prune([])
    assert not drawings.holds(label)


@pytest.mark.parametrize(
    ("params", "classes"),
    [
        ({}, ("sky", "road", "background")),
        ({"background": "road"}, ("sky", "road")),
        ({"background": "Road"}, ("sky", "road")),
        ({"unlabelled": "ignore"}, ("sky", "road")),
    ],
)
def test_unlabelled_pixels_are_a_class_unless_the_settings_say_otherwise(
    drawings: SegmentationReader, params: dict[str, Any], classes: tuple[str, ...]
) -> None:
    assert drawings.classes(ProjectSettings(**params)) == classes


def test_a_models_mask_is_shown_at_the_size_of_its_image(drawings: SegmentationReader, predicted: MaskFiles) -> None:
    name = predicted.put(Mask(fit_ids(half(SKY, 2, 400, 300), (96, 128)), {SKY: 0.75}, ("sky", "road", "background")))
    (region,) = drawings.regions(name, 0.9, (400, 300))
    assert (region["original_width"], region["original_height"], region["score"]) == (400, 300, 0.75)
    back = outlines.mask_of({"result": [region]}, CONFIG, max_pixels=1_000_000).ids
    assert (back == half(SKY, UNLABELLED, 400, 300)).mean() > 0.98


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (("sky", "road", "car"), ["sky", "road"]),  # the background's id has become the car's
        (("car", "sky", "road"), ["sky", "road"]),
        (("road", "sky"), ["road", "sky"]),
        (("road",), ["road"]),
        (("water",), []),
    ],
)
def test_a_model_is_shown_by_the_names_that_it_learned_whatever_the_config_lists_now(
    drawn: MaskFiles, predicted: MaskFiles, labels: tuple[str, ...], shown: list[str]
) -> None:
    ids = half(SKY, ROAD)
    ids[:10] = 2
    name = predicted.put(Mask(ids, {SKY: 0.5, ROAD: 0.75, 2: 1.0}, ("sky", "road", "background")))
    now = SegmentationReader(replace(CONFIG, labels=labels), drawn, lambda: predicted, 1_000_000)
    regions = now.regions(name, 0.9, (40, 30))
    assert [region["value"]["brushlabels"][0] for region in regions] == shown
    assert [region["score"] for region in regions] == [{"sky": 0.5, "road": 0.75}[label] for label in shown]


def test_nothing_is_shown_of_a_mask_that_is_gone_nor_on_an_image_of_unknown_size(
    drawings: SegmentationReader, predicted: MaskFiles, caplog: pytest.LogCaptureFixture
) -> None:
    name = predicted.put(Mask(half(SKY, ROAD), {}, CONFIG.labels))
    assert drawings.regions(name, 0.9, None) == []
    assert drawings.regions("", None, (40, 30)) == []
    predicted.prune([])
    assert drawings.regions(name, 0.9, (40, 30)) == []
    assert "without its drawing" in caplog.text
