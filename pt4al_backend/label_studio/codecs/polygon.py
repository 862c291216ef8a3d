"""Polygons in pixels: which pixels are inside one, and which ones outline a region.

Points are (x, y) in pixels from the top left corner of the image: the centre of its first pixel is (0.5, 0.5). A pixel is
inside if its centre is, by the non-zero winding number, which is what Label Studio's editor fills. OpenCV's ``fillPoly`` and
Pillow's ``ImageDraw.polygon`` go by another rule, even-odd, which makes holes where an outline runs over itself that the
annotator does not see; and they add the pixels that the outline touches: a square of 10 x 10 pixels becomes 11 x 11.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray


class CoversNothing(ValueError):
    """An outline without a pixel of the image in it: nothing is lost without it."""


_TOLERANCE = 1.0  # pixels that a simplified outline may be off, and for small parts
_SHARE = 1 / 16  # of the side of a square as large
_MOST_POINTS = 100_000
_MOST_CROSSINGS = 1_000_000  # of the rows by one outline, beyond one for each pixel
_AT_ONCE = 1 << 20  # pixels and crossings that are worked on together: bounds the memory


def fill(mask: NDArray[np.uint8], points: NDArray[np.float64], value: int) -> int:
    """Sets the pixels of a mask, [height, width], that are inside a polygon, [points, 2]; what is beyond the mask is cut off.

    Returns:
        How many pixels were examined, and crossings computed.

    Raises:
        CoversNothing: no pixel is inside. The messages go after "its polygon".
        ValueError: it has too many points, or far more outline than the mask has pixels.
    """
    height, width = mask.shape
    if len(points) > _MOST_POINTS:
        raise ValueError(f"has {len(points):,} points, more than {_MOST_POINTS:,}")
    edges = _Edges.of(points, height)
    crossings = int((edges.bottoms - edges.tops).sum())
    if crossings > mask.size + _MOST_CROSSINGS:
        raise ValueError(f"crosses the rows of the image {crossings:,} times")
    x = points[:, 0]
    left, right = (int(np.clip(end, 0, width)) for end in (np.floor(x.min()), np.ceil(x.max())))
    covers = False
    for top, bottom in _pieces(edges.tops, edges.bottoms, right - left):
        inside = edges.windings(top, bottom, left, right) != 0
        mask[top:bottom, left:right][inside] = value
        covers = covers or bool(inside.any())
    if not covers:
        raise CoversNothing("covers no pixel of the image")
    return crossings + int(edges.bottoms.max() - edges.tops.min()) * (right - left)


@dataclass(frozen=True, eq=False)
class _Edges:
    """The edges of a polygon, each from a point to the next; all arrays have one entry an edge.

    An edge crosses the centre lines of the rows from its top to the one before its bottom. Down it turns the winding number
    by one, up by minus one:

        row 0  --------+----   top of the edge: the first centre line below its upper end
        row 1  -------+-----   crossed at x + (row + 0.5 - y) * slope
        row 2  ------+------   bottom - 1
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    slopes: NDArray[np.float64]
    turns: NDArray[np.int32]
    tops: NDArray[np.int64]
    bottoms: NDArray[np.int64]

    @classmethod
    def of(cls, points: NDArray[np.float64], height: int) -> Self:
        x, y = points.T
        to_x, to_y = np.roll(points, -1, axis=0).T
        turns = np.sign(to_y - y).astype(np.int32)
        slopes = (to_x - x) / np.where(turns == 0, 1, to_y - y)
        tops = np.clip(np.ceil(np.minimum(y, to_y) - 0.5), 0, height).astype(np.int64)
        bottoms = np.clip(np.ceil(np.maximum(y, to_y) - 0.5), 0, height).astype(np.int64)
        return cls(x, y, slopes, turns, tops, bottoms)

    def windings(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.int32]:
        """The winding number at the centre of each pixel of a box, [bottom - top, right - left]."""
        starts = np.clip(self.tops, top, bottom)
        counts = np.clip(self.bottoms, top, bottom) - starts
        edge = np.repeat(np.arange(len(self.x)), counts)
        row = np.arange(edge.size) - np.repeat(np.cumsum(counts) - counts - starts, counts)
        across = self.x[edge] + (row + 0.5 - self.y[edge]) * self.slopes[edge]
        column = np.clip(np.ceil(across - 0.5), left, right).astype(np.int64) - left
        windings = np.zeros((bottom - top, right - left + 1), dtype=np.int32)
        np.add.at(windings, (row - top, column), self.turns[edge])
        np.cumsum(windings, axis=1, out=windings)
        return windings[:, :-1]


def _pieces(tops: NDArray[np.int64], bottoms: NDArray[np.int64], width: int) -> list[tuple[int, int]]:
    """First row and the row after the last of each piece of a polygon that is filled at once.

    Each piece examines every edge; the number of pieces grows with the pixels and crossings only.
    """
    first, last = int(tops.min()), int(bottoms.max())
    begun, ended = (np.bincount(rows - first, minlength=last - first + 1) for rows in (tops, bottoms))
    crossings = np.cumsum(begun - ended)[:-1]
    piece = np.cumsum(crossings + width) // _AT_ONCE
    cuts = [first, *(np.flatnonzero(np.diff(piece)) + 1 + first).tolist(), last]
    return [(top, bottom) for top, bottom in pairwise(cuts) if top < bottom]


def outlines(region: NDArray[np.bool_], least: int) -> list[tuple[int, NDArray[np.float64]]]:
    """Outlines the connected parts of a region, bool [height, width], as polygons, [points, 2].

    Pixels that touch at a corner are connected. An outline is simplified; it says nothing of holes.

    Args:
        least: pixels that a part must have, its holes included; smaller ones are left out.

    Returns:
        Pixels, holes included, and polygon of each part.
    """
    import cv2  # 17 MB of memory that only polygons need

    if not region.any():
        return []
    (left, right), (top, bottom) = (np.flatnonzero(region.any(axis=axis))[[0, -1]] for axis in (0, 1))
    # At twice the size the outline runs between the centre of the last pixel and the edge of the image's pixel: the pixel's
    # centre is inside, and that of its neighbour is not.
    part = region[top : bottom + 1, left : right + 1].astype(np.uint8)
    twice = cv2.resize(part, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    contours, parents = cv2.findContours(twice, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    found = []
    for contour, (*_, parent) in zip(contours, parents[0], strict=True):
        size = _size(contour.reshape(-1, 2).astype(np.int64))
        if parent == -1 and size >= least:
            tolerance = min(_TOLERANCE, _SHARE * size**0.5)
            simple = cv2.approxPolyDP(contour, 2 * tolerance, closed=True)
            points = (simple if len(simple) > 2 else contour).reshape(-1, 2)
            found.append((size, (points + 0.5) / 2 + (left, top)))
    return found


def _size(contour: NDArray[np.int64]) -> int:
    """Pixels inside a contour and on it, of the image before it was doubled; by Pick's theorem."""
    x, y = contour.T
    to_x, to_y = np.roll(x, -1), np.roll(y, -1)
    doubled_area = abs(int((x * to_y - to_x * y).sum()))
    on_it = int(np.maximum(abs(to_x - x), abs(to_y - y)).sum())
    return (doubled_area + on_it + 2) // 8
