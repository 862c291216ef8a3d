"""Annotations to masks of class ids, masks to predictions, for projects in which annotators outline the classes of an image.

What Label Studio 1.23 stores, as seen after drawing in its editor:

* A region says the size and the rotation of its image, and lists its label: the alias, or the value of one without.
* ``<BrushLabels>``, ``<PolygonLabels>`` and ``<BitmaskLabels>`` store one result for a region, ``<Labels>`` two with the same
  id: the tool's ("brush", "polygon", "bitmask"), then one of type "labels" that repeats the outline and has the label.
* What is erased from a region is missing from it; there are no erasing regions. Strokes have smooth edges, so that pixels
  can be opaque in part.
* Points are percentages of the image's width and height. A polygon that is not closed cannot be submitted.

Where regions say more than a mask can: the later of two that overlap is on top; a polygon that runs over itself is filled as
the editor fills it (`polygons`); what is beyond the image is cut off, and a polygon without a pixel in it refused; so are two
labels of one region. Results that outline no pixels, such as boxes, relations, choices and texts, do not count beside a
region; an annotation of nothing else is refused, as it does not say that nothing is there: only an empty one does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.errors import LabelUnreadable
from pt4al_backend.images.mask_files import UNLABELLED, Mask
from pt4al_backend.label_studio.annotations import LEGIBLE, brief
from pt4al_backend.label_studio.codecs import bitmap, polygon, rle
from pt4al_backend.label_studio.label_config import SegmentationConfig

Json = dict[str, Any]

#: A part of a predicted class that is smaller than this share of the image gets no polygon of its own.
SPECK = 1 / 10_000

_TOOLS = ("brush", "polygon", "bitmask", "magicwand")
_LISTS = ("labels", "brushlabels", "polygonlabels", "bitmasklabels")  # types, and where their value has the labels
_OUTLINES = ("rle", "points", "imageDataURL")

_LARGEST = 1e9  # number of pixels or percent that is taken for one
_LONGEST = 65_535  # pixels of a side; a polygon takes memory for each row
_PASSES = 50  # so many times the largest image may the regions of one annotation cover it

_AGAIN = "Draw it again in Label Studio, or delete it there."
_RELABEL = "Give it one label of the labeling config in Label Studio, or delete it there."


@dataclass(frozen=True)
class _Region:
    """What an annotation outlines: its id, the result that has the outline, and the class's id."""

    name: str
    outline: Json
    class_id: int


def mask_of(annotation: Mapping[str, Any], config: SegmentationConfig, *, max_pixels: int) -> NDArray[np.uint8]:
    """The mask that an annotation stands for: ids of the config's labels, uint8 [height, width].

    Pixels without a region are `UNLABELLED`; of an annotation without results the mask is a single such pixel.

    Args:
        max_pixels: largest width times height that is read.

    Raises:
        LabelUnreadable: a region is damaged, or says something that this project cannot learn, or none of the results is one.
    """
    regions = _regions(annotation, config)
    mask = np.full(_size(regions, max_pixels), UNLABELLED, dtype=np.uint8)
    work = 0
    for region in regions:
        work += _draw(mask, region)
        if work > _PASSES * max_pixels:
            _refuse(region.name, "with it the regions cover the image too often", "Draw fewer and simpler regions.")
    return mask


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


def _regions(annotation: Mapping[str, Any], config: SegmentationConfig) -> list[_Region]:
    """The regions of an annotation, in the order in which they are drawn."""
    result = annotation.get("result")
    if not isinstance(result, list):
        raise LabelUnreadable("The annotation has no list of regions.", "Submit it again in Label Studio, or delete it there.")
    together: dict[str, list[Json]] = {}
    for number, part in enumerate(result, start=1):
        if isinstance(part, dict) and part.get("type") in (*_TOOLS, *_LISTS):
            name = part.get("id")
            named = isinstance(name, str) and name and name.isprintable()
            together.setdefault(str(name) if named else f"number {number}", []).append(part)
    regions = []
    for name, parts in together.items():
        outlined = [part for part in parts if _outline(part)]
        if outlined:
            regions.append(_Region(name, outlined[0], _class_id(name, parts, config)))
        elif any(part["type"] != "labels" for part in parts):  # else the label of a box or a text
            _refuse(name, f"it has none of {', '.join(_OUTLINES)}", _AGAIN)
    if result and not regions:
        raise LabelUnreadable(
            "The annotation outlines nothing that this project can learn.",
            "Draw it with the brush or the polygon in Label Studio, submit it empty if nothing is there, or delete it there.",
        )
    return regions


def _class_id(name: str, parts: list[Json], config: SegmentationConfig) -> int:
    """The id of the class that a region's results name."""
    found: list[Any] = []
    for part in parts:
        if part["type"] in _LISTS:
            if part.get("from_name") != config.from_name:
                _refuse(name, f"{brief(part.get('from_name'))} is no tag of the labeling config (any more)", _AGAIN)
            listed = _value(part).get(part["type"])
            found += listed if isinstance(listed, list) else []
    if not found:
        _refuse(name, "it has no label", _RELABEL)
    if len(found) > 1:
        _refuse(name, f"it has {len(found)} labels, {brief(found[0])} and {brief(found[1])} among them", _RELABEL)
    if found[0] not in config.labels:
        _refuse(name, f"{brief(found[0])} is no label of the labeling config (any more)", _RELABEL)
    return config.labels.index(found[0])


def _size(regions: Sequence[_Region], max_pixels: int) -> tuple[int, int]:
    """Height and width of the image that all regions are of."""
    sizes = [_size_of(region, max_pixels) for region in regions] or [(1, 1)]
    for region, (height, width) in zip(regions, sizes, strict=False):
        if (height, width) != sizes[0]:
            first = f"region {regions[0].name[:LEGIBLE]} of {sizes[0][1]:,} x {sizes[0][0]:,}"
            _refuse(region.name, f"it is of an image of {width:,} x {height:,} pixels, {first}", _AGAIN)
    return sizes[0]


def _size_of(region: _Region, max_pixels: int) -> tuple[int, int]:
    sides = [region.outline.get(f"original_{side}") for side in ("width", "height")]
    width, height = map(_pixels_of, sides)
    if not width or not height:
        _refuse(region.name, f"original_width and original_height are {brief(sides)}, not numbers of pixels", _AGAIN)
    if max(height, width) > _LONGEST:
        _refuse(
            region.name,
            f"its image has {width:,} x {height:,} pixels, a side of more than {_LONGEST:,}",
            "Import a smaller image.",
        )
    if height * width > max_pixels:
        size = f"{width:,} x {height:,} pixels, more than {max_pixels:,} in all"
        _refuse(region.name, f"its image has {size}", "Import a smaller image, or raise PT4AL_IMAGE_MAX_PIXELS.")
    if rotation := region.outline.get("image_rotation"):
        _refuse(
            region.name,
            f"it was submitted with the image rotated by {brief(rotation)} degrees",
            "Rotate the image back in Label Studio and submit again.",
        )
    return height, width


def _draw(mask: NDArray[np.uint8], region: _Region) -> int:
    """Sets a region's pixels to its class; returns how many were examined."""
    value, kind = _value(region.outline), _outline(region.outline)
    try:
        if kind == "points":
            return polygon.fill(mask, _points(value[kind], *mask.shape), region.class_id)
        unpack = rle.decode if kind == "rle" else bitmap.decode
        np.putmask(mask, unpack(value[kind], *mask.shape), region.class_id)
    except ValueError as error:
        what = {"points": "polygon", "rle": "RLE", "imageDataURL": "bitmap"}[kind]
        _refuse(region.name, f"its {what} {error}", _AGAIN)
    return mask.size


def _points(points: object, height: int, width: int) -> NDArray[np.float64]:
    """A polygon's points in pixels, [points, 2].

    Raises:
        ValueError: they enclose nothing or are no numbers.
    """
    if not isinstance(points, list) or len(points) < 3:
        raise ValueError(f"has {len(points) if isinstance(points, list) else 'no'} points; it takes three to enclose something")
    for number, point in enumerate(points, start=1):
        if not (isinstance(point, list) and len(point) == 2 and all(map(_is_number, point))):
            raise ValueError(f"has a point that is not two numbers, its number {number}")
    return np.array(points, dtype=np.float64) * (width / 100, height / 100)


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
    """Where a result's value has its outline; "" if it has none."""
    return next((key for key in _OUTLINES if key in _value(part)), "")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < _LARGEST


def _pixels_of(side: Any) -> int:
    """Length of a side; 0 if it is none."""
    return int(side) if _is_number(side) and side >= 1 and side == int(side) else 0


def _refuse(region: str, what: str, remedy: str) -> NoReturn:
    raise LabelUnreadable(f"Region {region[:LEGIBLE]}: {what}.", remedy)
