"""One mask of those of several annotators."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from pt4al_backend.images.mask_files import UNLABELLED
from pt4al_backend.label_studio.votes import Vote, claimed_shape, majority

__ = UNLABELLED


def reconcile(masks: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return majority([Vote.of(mask) for mask in masks])


def row(*ids: int) -> NDArray[np.uint8]:
    return np.array([ids], dtype=np.uint8)


NOTHING = row(UNLABELLED)


@pytest.mark.parametrize(
    ("masks", "agreed"),
    [
        ([row(0, 1)], row(0, 1)),
        ([row(0, 1), row(2, 1)], row(2, 1)),
        ([row(0, 1), row(0, 2), row(1, 0)], row(0, 0)),
        ([row(0, __), row(1, __), row(1, 2)], row(1, __)),
        ([row(2, 2), row(1, 1), row(1, 0), row(2, 0)], row(2, 0)),
        ([row(1, 1), row(2, 2), row(2, 2), row(1, 1), row(0, 0)], row(1, 1)),
        ([NOTHING, row(0, 1)], row(0, 1)),
        ([row(0, 1), NOTHING], row(__, __)),
        ([NOTHING, row(0, 1), NOTHING], row(__, __)),
        ([NOTHING, row(0, 1), row(0, 2)], row(0, 2)),
        ([NOTHING, NOTHING], NOTHING),
    ],
)
def test_annotators_are_reconciled_by_majority_and_then_by_age(masks: list[NDArray[np.uint8]], agreed: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(reconcile(masks), agreed)


def by_hand(ids: list[int]) -> int:
    """The id that most annotators give; of several, the one that was given last."""
    votes = Counter(ids)
    return next(each for each in reversed(ids) if votes[each] == max(votes.values()))


ids = st.sampled_from([0, 1, 2, 254, UNLABELLED])


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 3), st.integers(2, 4)), elements=ids))
def test_any_number_of_annotators_is_counted_pixel_by_pixel(masks: NDArray[np.uint8]) -> None:
    expected = np.apply_along_axis(lambda pixel: by_hand(pixel.tolist()), 0, masks)
    np.testing.assert_array_equal(reconcile(list(masks)), expected)


def test_large_masks_have_no_seam() -> None:
    rng = np.random.default_rng(0)
    one, two, three = (rng.choice(np.array([0, 1, __], np.uint8), (601, 333)) for _ in range(3))
    agreed = reconcile([one, two, three])
    np.testing.assert_array_equal(agreed, np.where(one == two, one, three))


def test_hundreds_of_annotators_are_counted() -> None:
    masks = [row(0, 1)] * 150 + [row(1, 2)] * 151 + [row(0, 2)]
    np.testing.assert_array_equal(reconcile(masks), row(0, 2))


@pytest.mark.parametrize(
    ("widths", "claimed"), [([2, 2, 3], 2), ([3, 2, 2], 2), ([2, 3], 3), ([2, 3, 2, 3], 3), ([3, 1, 1], 3), ([1], 1)]
)
def test_the_size_that_most_claim_is_the_images_and_of_equally_many_the_newest(widths: list[int], claimed: int) -> None:
    votes = [Vote.of(row(*[0] * width)) for width in widths]
    assert claimed_shape(votes) == (1, claimed)
    assert [vote.fits((1, claimed)) for vote in votes] == [width in (1, claimed) for width in widths]
