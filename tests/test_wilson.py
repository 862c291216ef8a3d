"""The interval of a share, against scipy's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from pt4al_backend import wilson


@given(st.integers(1, 10_000).flatmap(lambda images: st.tuples(st.integers(0, images), st.just(images))))
def test_bounds_are_scipys(counted: tuple[int, int]) -> None:
    right, images = counted
    known = binomtest(right, images).proportion_ci(0.95, method="wilson")
    assert wilson.bounds(right / images, images) == pytest.approx((known.low, known.high), abs=1e-9)


def test_width_is_what_the_bounds_are_apart() -> None:
    low, high = wilson.bounds(0.7, 12.5)
    assert wilson.width(0.7, 12.5) == pytest.approx(high - low)
