import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pt4al_backend.query.confidence import SAMPLERS, entropy, least_confidence, margin

unit = st.floats(0, 1, allow_nan=False, allow_subnormal=False)


def test_confidences_by_hand() -> None:
    p = np.array([[1.0, 0.0, 0.0, 0.0], [0.5, 0.3, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]])
    assert least_confidence(p) == pytest.approx([1.0, 0.5, 0.25])
    assert margin(p) == pytest.approx([1.0, 0.2, 0.0])
    h = -(0.5 * np.log2(0.5) + 0.3 * np.log2(0.3) + 0.2 * np.log2(0.1))
    assert entropy(p) == pytest.approx([1.0, 1 - h / 2, 0.0])


@pytest.mark.parametrize("name", SAMPLERS)
@given(weights=arrays(np.float32, st.tuples(st.integers(0, 20), st.integers(1, 8)), elements=st.floats(0, 1, width=32)))
def test_confidence_is_in_the_unit_interval_and_lowest_for_the_uniform_posterior(name: str, weights: NDArray[np.float32]) -> None:
    n, classes = weights.shape
    weights = weights + np.float32(1e-6)
    sampler = SAMPLERS[name]
    confidence = sampler(weights / weights.sum(axis=1, keepdims=True))
    assert confidence.shape == (n,)
    assert confidence.dtype == np.float64
    assert np.all((confidence >= 0) & (confidence <= 1))
    assert np.all(confidence >= sampler(np.full((1, classes), 1 / classes)) - 1e-6)
    assert sampler(np.eye(classes)) == pytest.approx(np.ones(classes))


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize(
    "broken", [np.array([0.5, 0.5]), np.empty((2, 0)), np.array([[np.nan, 1.0]])], ids=["flat", "no class", "diverged"]
)
def test_values_that_are_no_posteriors_are_refused(name: str, broken: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="posteriors"):
        SAMPLERS[name](broken)
