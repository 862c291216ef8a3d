"""Annotations to masks of class ids, masks to predictions, for projects in which annotators outline the classes of an image.

What Label Studio 1.23 stores, as seen after drawing in its editor:

* A region says the size of its image and how the image was rotated on the screen, and lists its label: the alias, or the value
  of one without. The rotation changes nothing: points and pixels are stored as on the image without it.
* ``<BrushLabels>``, ``<PolygonLabels>`` and ``<BitmaskLabels>`` store one result for a region, ``<Labels>`` two with the same
  id: the tool's ("brush", "polygon", "bitmask"), then one of type "labels" that repeats the outline and has the label.
* What is erased from a region is missing from it; there are no erasing regions. Strokes have smooth edges, so that pixels
  can be opaque in part.
* Points are percentages of the image's width and height, as are the sides of rectangles and the radii of ellipses, which are
  turned clockwise by degrees around their corner or their centre. A polygon that is not closed cannot be submitted.

Where regions say more than a mask can: the later of two that overlap is on top; a polygon that runs over itself is filled as
the editor fills it (`polygons`); what is beyond the image is cut off. Rectangles and ellipses of the classes are filled. A
region that covers no pixel is skipped and counted; two labels of one region are refused. Results that outline no pixels, such
as relations, choices and texts, and what other lists of the config gave a class, do not count beside a region; an annotation
of nothing else is refused, as it does not say that nothing is there: only an empty one does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.aliases import Json
from pt4al_backend.errors import LabelUnreadable
from pt4al_backend.images.mask_files import UNLABELLED, Mask
from pt4al_backend.label_studio.annotations import LEGIBLE, SizeUnknown, brief
from pt4al_backend.label_studio.codecs import bitmap, polygon, rle
from pt4al_backend.label_studio.codecs.polygon import CoversNothing
from pt4al_backend.label_studio.label_config import SegmentationConfig

Points = NDArray[np.float64]  # [points, 2]: x and y in pixels

#: A part of a predicted class that is smaller than this share of the image gets no polygon of its own.
SPECK = 1 / 10_000

_TOOLS = ("brush", "polygon", "bitmask", "magicwand", "rectangle", "ellipse", "keypoint", "vector")
_LISTS = ("labels", *(f"{tool}labels" for tool in _TOOLS))  # types, and where their value has the labels
_OUTLINING = ("labels", "brushlabels", "polygonlabels", "bitmasklabels")  # types that a project learns from at all
_POINTING = ("rectangle", "ellipse", "keypoint", "vector")  # types that ask for something else if they have no label
_PIXELS = ("rle", "imageDataURL")
#: How a message calls an outline, by the key of `_outline`.
_WORDS = {"rle": "RLE", "imageDataURL": "bitmap", "points": "polygon", "width": "rectangle", "radiusX": "ellipse"}
_CORNERS = 256  # of the polygon that an ellipse is filled as

_LARGEST = 1e9  # number of pixels or percent that is taken for one
_LONGEST = 65_535  # pixels of a side; a polygon takes memory for each row
_PASSES = 50  # how many times the regions of one annotation may cover the largest image

_AGAIN = "Draw it again in Label Studio, or delete it there."
_RENAMED = (
    "If it was renamed, write the old name as the alias of the new label in Settings > Labeling Interface. Otherwise give the "
    "region another label in Label Studio, or delete it there."
)
_RELABEL = "Give it one label of the labeling config in Label Studio, or delete it there."


class Drawing(NamedTuple):
    """What an annotation stands for: ids of the config's labels, uint8 [height, width], and why regions were skipped."""

    ids: NDArray[np.uint8]
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class _Region:
    """What an annotation outlines: its id, the result that has the outline, and the class's id."""

    name: str
    outline: Json
    class_id: int


def mask_of(
    annotation: Mapping[str, Any], config: SegmentationConfig, *, max_pixels: int, size: tuple[int, int] | None = None
) -> Drawing:
    """The mask that an annotation stands for; pixels without a region are `UNLABELLED`.

    Of an annotation without results it is a single such pixel. Regions that cover no pixel are skipped.

    Args:
        max_pixels: largest width times height that is read.
        size: width and height of the image, upright, if it was fetched; else it is what the regions say.

    Raises:
        SizeUnknown: ``size`` is not given, and the regions do not say it, or several.
        LabelUnreadable: a region is damaged, or says something that this project cannot learn, or none of the results covers
            a pixel.
    """
    regions, skipped = _regions(annotation, config)
    mask = np.full(_size(regions, size, max_pixels), UNLABELLED, dtype=np.uint8)
    work = drawn = 0
    for region in regions:
        try:
            work += _draw(mask, region)
            drawn += 1
        except CoversNothing as error:
            skipped.append(f"Region {region.name[:LEGIBLE]}: its {_WORDS[_outline(region.outline)]} {error}.")
        if work > _PASSES * max_pixels:
            _refuse(region.name, "with it the regions cover the image too often", "Draw fewer and simpler regions.")
    if skipped and not drawn:
        raise LabelUnreadable(skipped[0], _AGAIN)
    return Drawing(mask, tuple(skipped))


def regions_of(mask: Mask, config: SegmentationConfig) -> list[Json]:
    """The result of a prediction that shows a mask, drawn with the tool that the config names first.

    A class is one region; of polygons, one for each connected part. A polygon has no holes: larger ones come first, so that
    what is in a hole is on top, and only a hole without a label is covered. Parts below `SPECK` are left out. The score of
    a region is that of its class. Ids that are none of the config's labels show nothing.
    """
    height, width = mask.ids.shape
    drawn: list[tuple[int, Json]] = []
    if config.shape == "polygon":
        drawn = _polygons(mask.ids, len(config.labels))
    else:
        for class_id in range(len(config.labels)):
            region = mask.ids == class_id
            if region.any():
                drawn.append((class_id, _pixels(region, config)))
    size = {"original_width": width, "original_height": height, "image_rotation": 0}
    results = []
    for class_id, value in drawn:
        score = {"score": float(mask.scores[class_id])} if class_id in mask.scores else {}
        shared = {"id": uuid4().hex[:10], "to_name": config.to_name, **size, **score}
        results += [{**shared, **each} for each in _results(config, value, config.labels[class_id])]
    return results


def _regions(annotation: Mapping[str, Any], config: SegmentationConfig) -> tuple[list[_Region], list[str]]:
    """The regions of an annotation, in the order in which they are drawn, and why others cover nothing."""
    result = annotation.get("result")
    if not isinstance(result, list):
        raise LabelUnreadable("The annotation has no list of regions.", "Submit it again in Label Studio, or delete it there.")
    together: dict[str, list[Json]] = {}
    for number, part in enumerate(result, start=1):
        if isinstance(part, dict) and part.get("type") in (*_TOOLS, *_LISTS):
            name = part.get("id")
            named = isinstance(name, str) and name and name.isprintable()
            together.setdefault(str(name) if named else f"number {number}", []).append(part)
    regions: list[_Region] = []
    skipped: list[str] = []
    for name, parts in together.items():
        if all(part["type"] == "labels" and not _outline(part) for part in parts):
            continue  # the label of a text
        class_id = _class_id(name, parts, config)
        if class_id is None:
            continue
        outlined = [part for part in parts if _outline(part)]
        if outlined:
            regions.append(_Region(name, outlined[0], class_id))
        elif any(str(part["type"]).startswith("vector") for part in parts):
            _refuse(name, "a vector does not say which pixels belong to it", "Draw it as a polygon or with the brush.")
        else:
            skipped.append(f"Region {name[:LEGIBLE]}: it has no outline.")
    if result and not regions and not skipped:
        raise LabelUnreadable(
            "The annotation outlines nothing that this project can learn.",
            "Draw it with the brush or the polygon in Label Studio, submit it empty if nothing is there, or delete it there.",
        )
    return regions, skipped


def _class_id(name: str, parts: list[Json], config: SegmentationConfig) -> int | None:
    """The id of the class that a region's results name; None if it was made with a tag that asks for something else."""
    found: list[Any] = []
    elsewhere = False
    for part in parts:
        if part["type"] in _LISTS:
            tag = part.get("from_name")
            if tag not in config.names and (part["type"] not in _OUTLINING or tag in config.others):
                elsewhere = True
                continue
            if tag not in config.names:
                _refuse(name, f"{brief(tag)} is no tag of the labeling config (any more)", _AGAIN)
            listed = _value(part).get(part["type"])
            found += listed if isinstance(listed, list) else []
    if not found and (elsewhere or all(part["type"] in _POINTING for part in parts)):
        return None
    if not found:
        _refuse(name, "it has no label", _RELABEL)
    if len(found) > 1:
        _refuse(name, f"it has {len(found)} labels, {brief(found[0])} and {brief(found[1])} among them", _RELABEL)
    if found[0] not in config.labels:
        _refuse(name, f"{brief(found[0])} is no label of the labeling config (any more)", _RENAMED)
    return config.labels.index(found[0])


def _size(regions: Sequence[_Region], size: tuple[int, int] | None, max_pixels: int) -> tuple[int, int]:
    """Height and width of the image that all regions are of."""
    if not regions:
        return 1, 1
    stated = [_stated(region) for region in regions]
    if size is None:
        if not all(stated) or len(set(stated)) > 1:
            raise SizeUnknown("The regions do not say the size of their image. They are read once the image was fetched.")
        size = stated[0] or (1, 1)
    width, height = size
    name = regions[0].name
    if max(size) > _LONGEST:
        _refuse(name, f"its image has {width:,} x {height:,} pixels, a side of more than {_LONGEST:,}", "Import a smaller image.")
    if height * width > max_pixels:
        what = f"{width:,} x {height:,} pixels, more than {max_pixels:,} in all"
        _refuse(name, f"its image has {what}", "Import a smaller image, or raise PT4AL_IMAGE_MAX_PIXELS.")
    for region, own in zip(regions, stated, strict=True):
        if own not in (None, size) and _outline(region.outline) in _PIXELS:  # percentages fit an image of any size
            _refuse(
                region.name, f"it was drawn on an image of {own[0]:,} x {own[1]:,} pixels, not {width:,} x {height:,}", _AGAIN
            )
    return height, width


def _stated(region: _Region) -> tuple[int, int] | None:
    """Width and height of its image as a region says them, if it does."""
    width, height = (_pixels_of(region.outline.get(f"original_{side}")) for side in ("width", "height"))
    return (width, height) if width and height else None


def _draw(mask: NDArray[np.uint8], region: _Region) -> int:
    """Sets a region's pixels to its class; returns how many were examined.

    Raises:
        CoversNothing: it has none.
    """
    value, kind = _value(region.outline), _outline(region.outline)
    try:
        if kind in _PIXELS:
            unpack = rle.decode if kind == "rle" else bitmap.decode
            np.putmask(mask, unpack(value[kind], *mask.shape), region.class_id)
            return mask.size
        return polygon.fill(mask, _POINTS[kind](value, *mask.shape), region.class_id)
    except CoversNothing:
        raise
    except ValueError as error:
        _refuse(region.name, f"its {_WORDS[kind]} {error}", _AGAIN)


def _corners(value: Json, height: int, width: int) -> Points:
    """A polygon's points in pixels, [points, 2].

    Raises:
        CoversNothing: they enclose nothing.
        ValueError: they are no numbers.
    """
    points = value["points"]
    if not isinstance(points, list) or len(points) < 3:
        raise CoversNothing(
            f"has {len(points) if isinstance(points, list) else 'no'} points; it takes three to enclose something"
        )
    for number, point in enumerate(points, start=1):
        if not (isinstance(point, list) and len(point) == 2 and all(map(_is_number, point))):
            raise ValueError(f"has a point that is not two numbers, its number {number}")
    return np.array(points, dtype=np.float64) * (width / 100, height / 100)


def _box(value: Json, height: int, width: int) -> Points:
    """The corners of a rectangle in pixels; it is turned clockwise around the first."""
    x, y, across, down, degrees = _numbers(value, "x", "y", "width", "height")
    corners = np.array([(0, 0), (across, 0), (across, down), (0, down)]) * (width / 100, height / 100)
    return _placed(corners, degrees, (x * width / 100, y * height / 100))


def _ellipse(value: Json, height: int, width: int) -> Points:
    """An ellipse's outline in pixels; it is turned clockwise around its centre."""
    x, y, across, down, degrees = _numbers(value, "x", "y", "radiusX", "radiusY")
    angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    outline = np.stack([np.cos(angles) * across * width / 100, np.sin(angles) * down * height / 100], axis=1)
    return _placed(outline, degrees, (x * width / 100, y * height / 100))


def _numbers(value: Json, *names: str) -> list[float]:
    """Percentages of a box or an ellipse, and its rotation in degrees.

    Raises:
        ValueError: one is no number.
    """
    given: list[float] = []
    for name in (*names, "rotation"):
        number: Any = value.get(name, 0 if name == "rotation" else None)
        if not _is_number(number):
            raise ValueError(f"has no number as its {name}")
        given.append(float(number))
    return given


def _placed(points: Points, degrees: float, pivot: tuple[float, float]) -> Points:
    """Points turned clockwise around the origin, as y points down, which then goes to the pivot."""
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    placed: Points = points @ np.array([(cosine, sine), (-sine, cosine)]) + np.array(pivot)
    return placed


#: How outlines other than pixels become points, by the key of `_outline`.
_POINTS: dict[str, Callable[[Json, int, int], Points]] = {"points": _corners, "width": _box, "radiusX": _ellipse}


def _polygons(ids: NDArray[np.uint8], classes: int) -> list[tuple[int, Json]]:
    """Classes and polygons of the parts of a mask, the larger ones first."""
    height, width = ids.shape
    found = []
    for class_id in range(classes):
        for size, points in polygon.outlines(ids == class_id, round(SPECK * ids.size)):
            percent = np.round(points * 100 / (width, height), 6)
            found.append((size, class_id, {"points": percent.tolist(), "closed": True}))
    return [(class_id, value) for _, class_id, value in sorted(found, key=lambda each: -each[0])]


def _pixels(region: NDArray[np.bool_], config: SegmentationConfig) -> Json:
    """The value of a brush or bitmask region."""
    if config.shape == "brush":
        return {"format": "rle", "rle": rle.encode(region)}
    return {"imageDataURL": bitmap.encode(region)}


def _results(config: SegmentationConfig, value: Json, label: str) -> list[Json]:
    """What is stored of a region beside its id and size."""
    if config.tool:
        tool = {"from_name": config.tool, "type": config.shape, "value": value}
        return [tool, {"from_name": config.from_name, "type": "labels", "value": {**value, "labels": [label]}}]
    kind = f"{config.shape}labels"
    return [{"from_name": config.from_name, "type": kind, "value": {**value, kind: [label]}}]


def _value(part: Json) -> Json:
    value = part.get("value")
    return value if isinstance(value, dict) else {}


def _outline(part: Json) -> str:
    """The key of a result's outline in `_WORDS`; "" if it has none."""
    value, kind = _value(part), str(part.get("type"))
    if found := next((key for key in (*_PIXELS, "points") if key in value), ""):
        return "" if kind.startswith("vector") else found
    if "radiusX" in value:
        return "radiusX"
    return "width" if {"x", "y", "width", "height"}.issubset(value) and not kind.startswith("keypoint") else ""


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < _LARGEST


def _pixels_of(side: Any) -> int:
    """Length of a side; 0 if it is none."""
    return int(side) if _is_number(side) and side >= 1 and side == int(side) else 0


def _refuse(region: str, what: str, remedy: str) -> NoReturn:
    raise LabelUnreadable(f"Region {region[:LEGIBLE]}: {what}.", remedy)
