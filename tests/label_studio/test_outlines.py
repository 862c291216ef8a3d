"""Annotations to masks and masks to predictions; ``recorded/drawn.json`` was drawn by hand in Label Studio 1.23.2's editor."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from pt4al_backend.errors import LabelUnreadable
from pt4al_backend.images.mask_files import UNLABELLED, Mask
from pt4al_backend.label_studio.annotations import SizeUnknown
from pt4al_backend.label_studio.codecs import bitmap as bitmaps
from pt4al_backend.label_studio.codecs import rle
from pt4al_backend.label_studio.label_config import SegmentationConfig, Shape
from pt4al_backend.label_studio.outlines import mask_of, regions_of

DRAWN = json.loads((Path(__file__).parent / "recorded" / "drawn.json").read_text())
SHAPES: tuple[Shape, ...] = ("brush", "polygon", "bitmask")
PIXEL_BY_PIXEL: tuple[Shape, ...] = ("brush", "bitmask")
Point = tuple[int, int]
LABELS = ("road", "car", "tree")
__ = UNLABELLED

kinds = pytest.mark.parametrize("tool", ["", "tool"], ids=["one tag", "labels and tool"])


def config(shape: Shape = "polygon", tool: str = "") -> SegmentationConfig:
    return SegmentationConfig("mask", "image", "photo", LABELS, shape, tool)


def read(*result: Any, by: SegmentationConfig | None = None, max_pixels: int = 10_000) -> NDArray[np.uint8]:
    return mask_of({"result": list(result)}, by or config(), max_pixels=max_pixels).ids


def region(outline: dict[str, Any], label: str = "road", name: str = "ab12", kind: str = "polygonlabels", **fields: Any) -> Any:
    """A region of an image of 10 x 8 pixels."""
    size = {"original_width": 10, "original_height": 8, "image_rotation": 0}
    shared = {"id": name, "type": kind, "from_name": "mask", "to_name": "image", "origin": "manual"}
    return {**shared, **size, "value": {**outline, kind: [label]}, **fields}


def box(left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
    """The value of a polygon, in pixels of that image."""
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return {"points": [[x * 10, y * 12.5] for x, y in corners], "closed": True}


def brush(pixels: NDArray[np.bool_], **fields: Any) -> Any:
    return region({"format": "rle", "rle": rle.encode(pixels)}, kind="brushlabels", **fields)


@pytest.mark.parametrize(
    ("drawn", "tool", "road", "erased", "car", "counts"),
    [
        ("brushlabels", "", (110, 72), (140, 72), (280, 160), [1694, 744]),
        ("bitmask", "tool", (110, 72), (140, 72), (280, 160), [5594, 3050]),
        ("polygon", "tool", (110, 72), (200, 72), (260, 150), [12656, 5072]),
    ],
)
def test_recorded_drawings_of_the_editor_are_read(
    drawn: str, tool: str, road: Point, erased: Point, car: Point, counts: list[int]
) -> None:
    mask = read(*DRAWN[drawn], by=SegmentationConfig("mask", "image", "photo", LABELS, "brush", tool), max_pixels=100_000)
    assert mask.shape == (240, 400)
    assert [mask[y, x] for x, y in (road, erased, car)] == [0, __, 1]
    assert [(mask == class_id).sum() for class_id in (0, 1)] == counts


@kinds
@pytest.mark.parametrize("shape", PIXEL_BY_PIXEL)
@given(ids=arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(2, 12)), elements=st.sampled_from([0, 1, 2, __])))
def test_a_prediction_reads_back_pixel_by_pixel(shape: Shape, tool: str, ids: NDArray[np.uint8]) -> None:
    by = config(shape, tool)
    back = mask_of({"result": regions_of(Mask(ids), by)}, by, max_pixels=1000).ids
    np.testing.assert_array_equal(np.broadcast_to(back, ids.shape), ids)


def scene(height: int = 200, width: int = 320) -> NDArray[np.uint8]:
    """A ring around a disc with a dot in it, two blobs, and background."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    from_centre = np.hypot(columns - 90, rows - 100)
    ids = np.full((height, width), UNLABELLED, dtype=np.uint8)
    ids[from_centre < 80] = 0
    ids[from_centre < 50] = 1
    ids[from_centre < 20] = 0
    ids[np.hypot((columns - 240) / 60, (rows - 60) / 30) < 1] = 2
    ids[150:180, 200:300] = 2
    return ids


@kinds
def test_polygons_read_back_nearly_as_they_were_with_what_is_in_holes_on_top(tool: str) -> None:
    by = config("polygon", tool)
    back = mask_of({"result": regions_of(Mask(scene()), by)}, by, max_pixels=100_000).ids
    for class_id in range(3):
        one, other = back == class_id, scene() == class_id
        assert (one & other).sum() / (one | other).sum() > 0.97


def test_a_hole_without_a_label_is_covered_as_polygons_have_none() -> None:
    ids = scene()
    ids[ids == 1] = UNLABELLED
    back = read(*regions_of(Mask(ids), config()), max_pixels=100_000)
    assert back[100, 50] == 0


def test_polygons_are_one_for_each_part_the_largest_first_and_no_specks() -> None:
    ids = scene()
    ids[5, 5] = ids[190:192, 5:7] = 1
    made = regions_of(Mask(ids), config("polygon"))
    assert [each["value"]["polygonlabels"] for each in made] == [["road"], ["car"], ["tree"], ["tree"], ["road"]]


@kinds
@pytest.mark.parametrize("shape", SHAPES)
def test_prediction_has_all_fields_that_the_editor_needs(shape: Shape, tool: str) -> None:
    made = regions_of(Mask(scene(), {0: 0.9, 2: 0.25}), config(shape, tool))
    for each in made:
        assert (each["to_name"], each["image_rotation"]) == ("image", 0)
        assert (each["original_width"], each["original_height"]) == (320, 200)
        assert each["type"] in ((shape, "labels") if tool else (f"{shape}labels",))
        assert each["from_name"] == ("tool" if each["type"] == shape else "mask")
    named = [each for each in made if each["type"].endswith("labels")]
    scores = {each["value"][each["type"]][0]: each.get("score") for each in named}
    assert scores == {"road": 0.9, "car": None, "tree": 0.25}
    assert len({each["id"] for each in made}) == len(named)
    json.dumps(made, allow_nan=False)


def test_a_tool_s_result_and_that_of_its_label_have_one_id_and_one_outline() -> None:
    tool, labels = regions_of(Mask(np.zeros((8, 10), dtype=np.uint8)), config("brush", "tool"))
    assert tool["id"] == labels["id"]
    assert labels["value"] == {**tool["value"], "labels": ["road"]}


@pytest.mark.parametrize("shape", SHAPES)
def test_ids_without_a_label_show_nothing(shape: Shape) -> None:
    ids = np.array([[3, 254, UNLABELLED]], dtype=np.uint8).repeat(8, axis=0)
    assert regions_of(Mask(ids, {3: 0.5}), config(shape)) == []


@pytest.mark.parametrize("shape", SHAPES)
def test_a_mask_of_one_class_is_one_region(shape: Shape) -> None:
    ids = np.full((8, 10), 2, dtype=np.uint8)
    (one,) = regions_of(Mask(ids), config(shape))
    np.testing.assert_array_equal(read(one), ids)


def test_an_annotation_without_results_is_one_pixel_without_a_label() -> None:
    np.testing.assert_array_equal(read(), np.array([[UNLABELLED]]))


def test_the_later_of_two_regions_is_on_top() -> None:
    low, high = region(box(0, 0, 6, 8)), region(box(4, 0, 10, 8), "car", "cd34")
    assert read(low, high)[0].tolist() == [0] * 4 + [1] * 6
    assert read(high, low)[0].tolist() == [0] * 6 + [1] * 4


def test_regions_of_every_tool_are_read_whatever_predictions_are_drawn_with() -> None:
    pixels = np.zeros((8, 10), dtype=np.bool_)
    pixels[0] = True
    bitmap = {"imageDataURL": bitmaps.encode(pixels[::-1])}
    by = config("polygon", "tool")
    outlines = [("brush", {"format": "rle", "rle": rle.encode(pixels)}), ("polygon", box(0, 3, 10, 4)), ("bitmask", bitmap)]
    parts = []
    for number, (kind, value) in enumerate(outlines):
        parts.append(region(value, name=str(number), kind=kind, from_name=kind))
        parts.append(region(value, LABELS[number], str(number), "labels"))
    assert read(*parts, by=by)[:, 0].tolist() == [0, __, __, 1, __, __, __, 2]


def test_a_label_s_result_may_leave_the_outline_to_the_tool_s() -> None:
    tool = region(box(0, 0, 10, 8), kind="polygon", from_name="tool")
    assert (read(tool, region({}, "tree", kind="labels"), by=config("polygon", "tool")) == 2).all()


RECTANGLE = {"x": 0, "y": 0, "width": 100, "height": 100, "rotation": 0}
NO_OUTLINES: tuple[Any, ...] = (
    {"type": "relation", "from_id": "ab12", "to_id": "x", "direction": "right"},
    region(RECTANGLE, "road", "x", "rectanglelabels", from_name="boxes"),
    region(RECTANGLE, kind="rectangle", name="y", from_name="box"),
    region({"text": ["a remark"]}, kind="textarea", name="z", from_name="remark"),
    region({**box(0, 0, 10, 8), "choices": ["hard"]}, kind="choices", from_name="part"),
    "nonsense",
)


def test_results_that_outline_no_pixels_do_not_count_beside_a_region() -> None:
    np.testing.assert_array_equal(read(*NO_OUTLINES, region(box(0, 0, 10, 8))), np.zeros((8, 10)))


@pytest.mark.parametrize("result", [*([one] for one in NO_OUTLINES), NO_OUTLINES])
def test_annotation_of_other_results_alone_is_not_background(result: Sequence[Any]) -> None:
    with pytest.raises(LabelUnreadable, match="outlines nothing that this project can learn") as caught:
        read(*result)
    assert caught.value.remedy.startswith("Draw it with the brush or the polygon")


def test_polygons_beyond_the_image_are_cut_off() -> None:
    assert read(region(box(-90, 2, 90, 3)))[:, 5].tolist() == [__, __, 0, __, __, __, __, __]
    assert (read(region({"points": [[-1e8, -1e8], [1e8, -1e8], [1e8, 1e8], [-1e8, 1e8]]})) == 0).all()


FULL = np.ones((8, 10), dtype=np.bool_)
DRAW, RELABEL = "Draw it again", "Give it one label of the labeling config"


@pytest.mark.parametrize(
    ("one", "reason", "remedy"),
    [
        (region({"rle": rle.encode(FULL)[:7]}, kind="brushlabels"), "its RLE ends after 0 of 320 values", DRAW),
        (brush(np.ones((8, 11), np.bool_)), "its RLE is of 352 values, not of 4 for each of 10 x 8 pixels", DRAW),
        (region({"rle": "AAA="}, kind="brushlabels"), "its RLE is not a list of bytes", DRAW),
        (region({"rle": None}, kind="brushlabels"), "its RLE is not a list of bytes", DRAW),
        (region({"rle": [300] * 9}, kind="brushlabels"), "its RLE holds something else", DRAW),
        (region({"rle": [-1] * 9}, kind="brushlabels"), "its RLE holds something else", DRAW),
        (region({"rle": ["1"] * 9}, kind="brushlabels"), "its RLE holds something else", DRAW),
        (region({"points": [[0, 0], [9, 9], [0, float("nan")]]}), "a point that is not two numbers, its number 3", DRAW),
        (region({"points": [[0, 0], [9, float("inf")], [0, 1]]}), "a point that is not two numbers, its number 2", DRAW),
        (region({"points": [[0, "0"], [9, 9], [0, 1]]}), "a point that is not two numbers, its number 1", DRAW),
        (region({"points": [[0, 0], [9, 9, 9], [0, 1]]}), "a point that is not two numbers, its number 2", DRAW),
        (region({"points": [[0, 0], 9, [0, 1]]}), "a point that is not two numbers, its number 2", DRAW),
        (region({"points": [[0, 0], [9, 9]] * 60_000}), "its polygon has 120,000 points", DRAW),
        (region({"imageDataURL": "http://x"}, kind="bitmasklabels"), "its bitmap does not begin with 'data:image/png", DRAW),
        (
            region({"imageDataURL": bitmaps.encode(FULL.T)}, kind="bitmasklabels"),
            "its bitmap has 8 x 10 pixels, not 10 x 8",
            DRAW,
        ),
        (region(box(0, 0, 5, 5), "horse"), "'horse' is no label of the labeling config (any more)", "alias"),
        (region(box(0, 0, 5, 5), ["road"]), "['road'] is no label of the labeling config", "alias"),
        (region(box(0, 0, 5, 5), value={**box(0, 0, 5, 5), "polygonlabels": []}), "it has no label", RELABEL),
        (region(box(0, 0, 5, 5), value={**box(0, 0, 5, 5), "polygonlabels": "road"}), "it has no label", RELABEL),
        (region(box(0, 0, 5, 5), value={**box(0, 0, 5, 5), "polygonlabels": ["car", "road"]}), "it has 2 labels, 'car'", RELABEL),
        (region(box(0, 0, 5, 5), kind="polygon", from_name="tool"), "it has no label", RELABEL),
        (region(box(0, 0, 5, 5), from_name="old"), "'old' is no tag of the labeling config (any more)", DRAW),
        (region(RECTANGLE | {"height": "8"}, kind="rectanglelabels"), "its rectangle has no number as its height", DRAW),
        (region({"x": 1, "y": 1, "radiusX": 9}, kind="ellipselabels"), "its ellipse has no number as its radiusY", DRAW),
        (region({"vertices": []}, kind="vectorlabels"), "a vector does not say which pixels", "as a polygon"),
        (region(box(0, 0, 5, 5), "x" * 10_000), f"'{'x' * 59}… is no label", "alias"),
    ],
)
def test_a_region_that_cannot_be_read_is_named_with_what_to_do(one: Any, reason: str, remedy: str) -> None:
    with pytest.raises(LabelUnreadable) as caught:
        read(region(box(0, 0, 3, 3), name="fine"), one)
    assert caught.value.message.startswith("Region ab12: ")
    assert reason in caught.value.message
    assert remedy in caught.value.remedy


def test_a_region_without_an_id_is_named_by_its_place() -> None:
    with pytest.raises(LabelUnreadable, match="Region number 2: 'horse'"):
        read(region(box(0, 0, 3, 3), name=""), region(box(0, 0, 3, 3), "horse", name=None))


UNSIZED: dict[str, Any] = {"original_width": None, "original_height": None}


@pytest.mark.parametrize(
    "sizes",
    [UNSIZED, {"original_width": 20, "original_height": 16}, {"original_width": "10"}, {"original_height": 8.5}],
    ids=["missing", "of another image", "text", "no whole number"],
)
def test_points_fit_the_image_whatever_size_they_say(sizes: dict[str, Any]) -> None:
    one = region(box(0, 0, 5, 8), **sizes)
    mask = mask_of({"result": [one]}, config(), max_pixels=1000, size=(30, 4)).ids
    assert mask.shape == (4, 30)
    assert mask[0].tolist() == [0] * 15 + [__] * 15


@pytest.mark.parametrize(
    "regions",
    [
        [region(box(0, 0, 5, 5), **UNSIZED)],
        [region(box(0, 0, 5, 5), original_width=0)],
        [region(box(0, 0, 3, 3)), region(box(0, 0, 3, 3), name="cd34", original_width=11)],
        [region(box(0, 0, 3, 3)), region(box(0, 0, 3, 3), name="cd34", **UNSIZED)],
    ],
)
def test_regions_of_unknown_size_wait_for_their_image(regions: list[Any]) -> None:
    with pytest.raises(SizeUnknown):
        read(*regions)
    assert mask_of({"result": regions}, config(), max_pixels=1000, size=(10, 8)).ids.shape == (8, 10)


@pytest.mark.parametrize(
    "one", [brush(FULL), region({"imageDataURL": bitmaps.encode(FULL)}, kind="bitmasklabels")], ids=["brush", "bitmask"]
)
def test_pixels_of_another_image_are_refused(one: Any) -> None:
    with pytest.raises(LabelUnreadable, match="drawn on an image of 10 x 8 pixels, not 20 x 16"):
        mask_of({"result": [one]}, config(), max_pixels=1000, size=(20, 16))
    unsized = {**one, **UNSIZED}
    assert (mask_of({"result": [unsized]}, config(), max_pixels=1000, size=(10, 8)).ids == 0).all()


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_on_the_screen_changes_nothing(degrees: int) -> None:
    """As seen in the editor: see tests/browser/test_rotated_images.py."""
    row = np.zeros((8, 10), np.bool_)
    row[1, 2:4] = True
    for one in (region(box(2, 1, 4, 2)), brush(row), region({"imageDataURL": bitmaps.encode(row)}, kind="bitmasklabels")):
        np.testing.assert_array_equal(read({**one, "image_rotation": degrees}) == 0, row)


@pytest.mark.parametrize(
    ("empty", "reason"),
    [
        (region({"points": []}, "car", "cd34"), "Region cd34: its polygon has 0 points"),
        (region({"points": [[0, 0], [9, 9]]}, "car", "cd34"), "Region cd34: its polygon has 2 points"),
        (region({"points": None}, "car", "cd34"), "Region cd34: its polygon has no points"),
        (region({"points": [[30, 30], [30.3, 30], [30, 30.3]]}, "car", "cd34"), "Region cd34: its polygon covers no pixel"),
        (region(box(11, 0, 15, 8), "car", "cd34"), "Region cd34: its polygon covers no pixel of the image"),
        (region({}, "car", "cd34", "brushlabels"), "Region cd34: it has no outline"),
        (region({"x": 5, "y": 5, "width": 1}, "car", "cd34", "keypointlabels"), "Region cd34: it has no outline"),
        (
            region({"x": 5, "y": 5, "width": 0, "height": 9}, "car", "cd34", "rectanglelabels"),
            "Region cd34: its rectangle covers no",
        ),
    ],
)
def test_region_that_covers_no_pixel_costs_only_itself(empty: Any, reason: str) -> None:
    good = region(box(0, 0, 10, 8))
    for result in ([good, empty], [empty, good]):
        drawing = mask_of({"result": result}, config(), max_pixels=1000)
        assert (drawing.ids == 0).all()
        assert [reason in each for each in drawing.skipped] == [True]
    with pytest.raises(LabelUnreadable, match=reason):
        read(empty)


def filled(value: dict[str, Any], kind: str, size: tuple[int, int] = (10, 8)) -> list[str]:
    """The rows of a mask that holds one region; # is the class."""
    one = region(value, kind=kind, **UNSIZED)
    ids = mask_of({"result": [one]}, config(), max_pixels=100_000, size=size).ids
    return ["".join("#" if each == 0 else "." for each in row) for row in ids]


def test_rectangles_are_filled() -> None:
    value = {"x": 20, "y": 25, "width": 30, "height": 25, "rotation": 0}
    for kind in ("rectanglelabels", "labels"):
        assert filled(value, kind) == [".........."] * 2 + ["..###....."] * 2 + [".........."] * 4


def test_rectangles_are_turned_around_their_first_corner() -> None:
    """Clockwise by 90 degrees, in pixels: what was 3 pixels across is 3 pixels down, to the left of the corner."""
    value = {"x": 50, "y": 25, "width": 30, "height": 25, "rotation": 90}
    assert filled(value, "rectanglelabels") == [".........."] * 2 + ["...##....."] * 3 + [".........."] * 3


def test_ellipses_are_filled_around_their_centre() -> None:
    value = {"x": 50, "y": 50, "radiusX": 40, "radiusY": 20, "rotation": 0}
    rows = filled(value, "ellipselabels", (200, 100))
    area = sum(row.count("#") for row in rows)
    assert area == pytest.approx(np.pi * 80 * 20, rel=0.01)
    assert (rows[50].index("#"), rows[50].rindex("#")) == (20, 179)
    turned = filled({**value, "radiusX": 20, "radiusY": 10, "rotation": 90}, "ellipselabels", (200, 100))
    assert [row[100] for row in turned] == ["."] * 10 + ["#"] * 80 + ["."] * 10


def test_box_beside_polygons_under_one_list_of_labels_is_no_background() -> None:
    by = config("polygon", "tool")
    rectangle = {"x": 50, "y": 0, "width": 50, "height": 100, "rotation": 0}
    parts = [region(box(0, 0, 3, 8), kind="polygon", from_name="tool"), region(box(0, 0, 3, 8), "car", kind="labels")]
    parts += [region(rectangle, kind=kind, name="r", from_name=tag) for kind, tag in (("rectangle", "box"), ("labels", "mask"))]
    assert read(*parts, by=by)[0].tolist() == [1, 1, 1, __, __, 0, 0, 0, 0, 0]


def test_regions_of_every_merged_list_count_and_those_of_other_lists_do_not() -> None:
    by = replace(config(), also=("shape",), others=("parts",))
    parts = [region(box(0, 0, 2, 8)), region(box(2, 0, 4, 8), "car", "b", from_name="shape")]
    parts.append(region(box(0, 0, 10, 8), "wheel", "c", from_name="parts"))
    assert read(*parts, by=by)[0].tolist() == [0, 0, 1, 1, *[__] * 6]


@pytest.mark.parametrize("result", [None, "[]", {"id": "ab12"}])
def test_result_that_is_no_list_is_not_background(result: Any) -> None:
    with pytest.raises(LabelUnreadable, match="no list of regions"):
        mask_of({"result": result}, config(), max_pixels=100)


def test_so_many_regions_that_reading_takes_forever_are_refused() -> None:
    many = [brush(FULL, name=f"r{number}") for number in range(60)]
    assert read(*many, max_pixels=100).shape == (8, 10)
    with pytest.raises(LabelUnreadable, match="Region r50: with it the regions cover the image too often"):
        read(*many, max_pixels=80)
