import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from pt4al_backend.label_studio.codecs.polygon import fill, outlines


def filled(points: list[tuple[float, float]], height: int = 20, width: int = 30) -> NDArray[np.bool_]:
    mask = np.zeros((height, width), dtype=np.uint8)
    fill(mask, np.array(points, dtype=np.float64), 1)
    return mask == 1


def rectangle(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def outlined(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What is left of a region after it has been outlined and filled again."""
    mask = np.zeros(region.shape, dtype=np.uint8)
    for _, points in outlines(region, least=1):
        fill(mask, points, 1)
    return mask == 1


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float((one & other).sum() / (one | other).sum())


def ellipse(x: float, y: float, across: float, down: float) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:200, :320] + 0.5
    return ((columns - x) / across) ** 2 + ((rows - y) / down) ** 2 < 1


def star(points: int, inner: float, outer: float) -> NDArray[np.bool_]:
    angles = np.arange(2 * points) * np.pi / points
    radii = np.where(np.arange(2 * points) % 2, inner, outer)
    return filled(list(zip(160 + radii * np.sin(angles), 100 - radii * np.cos(angles), strict=True)), 200, 320)


def test_a_square_has_as_many_pixels_as_its_area() -> None:
    inside = filled(rectangle(5, 3, 15, 13))
    assert inside.sum() == 100
    assert inside[3:13, 5:15].all()


@pytest.mark.parametrize(("left", "first"), [(5.4, 5), (5.5, 5), (5.6, 6)])
def test_a_pixel_is_inside_if_its_centre_is(left: float, first: int) -> None:
    assert np.flatnonzero(filled(rectangle(left, 3, 15, 13))[5])[0] == first


def test_neighbours_share_no_pixel_and_leave_none_out() -> None:
    corners = [(0.0, 0.0), (30.0, 0.0), (30.0, 20.0), (0.0, 20.0)]
    parts = [filled([(11.3, 7.9), corner, corners[(k + 1) % 4]]) for k, corner in enumerate(corners)]
    assert (sum(part.astype(int) for part in parts) == 1).all()


@pytest.mark.parametrize("turn", [1, -1])
def test_where_an_outline_runs_over_itself_there_is_no_hole(turn: int) -> None:
    pentagram = [(15 + 9 * np.sin(k * 0.8 * np.pi), 10 - 9 * np.cos(k * 0.8 * np.pi)) for k in range(5)][::turn]
    assert filled(pentagram)[10, 15]


def test_both_wings_of_a_bow_tie_are_inside() -> None:
    inside = filled([(5, 5), (25, 15), (25, 5), (5, 15)])
    assert inside[10, 7]
    assert inside[10, 22]
    assert not inside[6, 15]


def test_a_hole_that_the_outline_goes_around_the_other_way_stays_open() -> None:
    inside = filled([*rectangle(2, 2, 18, 18), (2, 2), (6, 6), (6, 14), (14, 14), (14, 6), (6, 6)])
    assert inside.sum() == 16 * 16 - 8 * 8


@pytest.mark.parametrize(
    ("points", "count"),
    [
        (rectangle(-50, -50, 80, 70), 600),
        (rectangle(-5, 5, 10, 10), 50),
        (rectangle(25, 15, 1e6, 1e6), 25),
    ],
)
def test_polygon_is_clipped_to_the_image(points: list[tuple[float, float]], count: int) -> None:
    assert filled(points).sum() == count


@pytest.mark.parametrize(
    "points",
    [
        rectangle(31, 0, 40, 20),
        rectangle(-9, 0, -1, 20),
        rectangle(0, 21, 30, 25),
        rectangle(0, -9, 30, -1),
        [(20, -20), (60, 20), (60, -20)],  # around the corner, though its bounding box overlaps the image
        [(3, 3), (3, 3), (3, 3)],
        [(0, 5), (30, 5), (15, 5)],
    ],
)
def test_a_polygon_that_covers_no_pixel_is_refused(points: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="covers no pixel of the image"):
        filled(points)


def test_large_images_are_filled_in_pieces_without_a_seam() -> None:
    assert filled(rectangle(0, 0, 2000, 1500), 1500, 2000).all()


@pytest.mark.parametrize(
    ("points", "reason"),
    [([(0, 0)] * 100_001, "has 100,001 points"), ([(1, 0), (2, 2000)] * 1000, "crosses the rows of the image 4,000,000 times")],
)
def test_polygons_that_take_forever_are_refused(points: list[tuple[float, float]], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        filled(points, 2000, 4)


@pytest.mark.parametrize(
    ("region", "least"),
    [
        (ellipse(160, 100, 150, 80), 0.99),
        (ellipse(30, 30, 11, 8), 0.95),
        (ellipse(30, 30, 3, 3), 0.95),
        (star(5, 40, 95), 0.98),
        (ellipse(80, 60, 60, 40) | ellipse(250, 150, 40, 45), 0.98),
        (ellipse(160, 100, 150, 0.6), 1.0),
    ],
    ids=["ellipse", "small ellipse", "dot", "star", "two blobs", "line of one pixel"],
)
def test_an_outline_is_nearly_the_region(region: NDArray[np.bool_], least: float) -> None:
    assert overlap(outlined(region), region) >= least


def test_outlines_have_few_enough_points_to_be_changed_by_hand() -> None:
    ((_, points),) = outlines(ellipse(160, 100, 150, 80), least=1)
    assert len(points) < 60


def test_parts_come_with_their_pixel_counts_without_small_ones() -> None:
    region = np.zeros((20, 20), dtype=np.bool_)
    region[2:7, 2:9] = True
    region[4, 4] = False  # a hole counts
    region[12:14, 12:14] = True
    region[18, 18] = True
    assert sorted(size for size, _ in outlines(region, least=1)) == [1, 4, 35]
    assert sorted(size for size, _ in outlines(region, least=4)) == [4, 35]
    assert outlines(np.zeros((20, 20), dtype=np.bool_), least=1) == []


@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_no_outline_reaches_the_edge_of_the_image(region: NDArray[np.bool_]) -> None:
    for size, points in outlines(region, least=1):
        assert size >= 1
        assert len(points) >= 3
        assert (points > 0).all()
        assert (points < (region.shape[1], region.shape[0])).all()
