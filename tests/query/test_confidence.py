import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pt4al_backend.query.confidence import SAMPLERS, confidences, entropy, least_confidence, margin, set_confidences

unit = st.floats(0, 1, allow_nan=False, allow_subnormal=False)


def test_confidences_by_hand() -> None:
    p = np.array([[1.0, 0.0, 0.0, 0.0], [0.5, 0.3, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]])
    assert least_confidence(p) == pytest.approx([1.0, 0.5, 0.25])
    assert margin(p) == pytest.approx([1.0, 0.2, 0.0])
    h = -(0.5 * np.log2(0.5) + 0.3 * np.log2(0.3) + 0.2 * np.log2(0.1))
    assert entropy(p) == pytest.approx([1.0, 1 - h / 2, 0.0])


def test_confidences_of_sets_by_hand() -> None:
    found = set_confidences(np.array([[1.0, 0.0], [0.5, 0.5], [0.9, 0.2]]))
    assert found["least_confidence"] == pytest.approx([1.0, 0.5, (0.9 + 0.8) / 2])
    assert found["margin"] == pytest.approx([1.0, 0.0, (0.8 + 0.6) / 2])
    h = -(0.9 * np.log2(0.9) + 0.1 * np.log2(0.1) + 0.2 * np.log2(0.2) + 0.8 * np.log2(0.8))
    assert found["entropy"] == pytest.approx([1.0, 0.0, 1 - h / 2])


@given(weights=arrays(np.float32, st.tuples(st.integers(0, 20), st.integers(1, 8)), elements=st.floats(0, 1, width=32)))
def test_confidences_of_sets_are_means_over_classes_and_do_not_tell_there_from_not_there(weights: NDArray[np.float32]) -> None:
    found = set_confidences(weights)
    assert found.keys() == SAMPLERS.keys()
    for name, values in found.items():
        assert ((values >= 0) & (values <= 1)).all()
        np.testing.assert_allclose(values, set_confidences(1 - weights.astype(np.float64))[name], atol=1e-6)
        each = [confidences(np.stack([column, 1 - column], 1))[name] for column in weights.astype(np.float64).T]
        np.testing.assert_allclose(values, np.mean(each, axis=0), atol=1e-12)


def test_confidence_of_sets_of_a_diverged_model_is_an_error() -> None:
    with pytest.raises(ValueError, match="diverged"):
        set_confidences(np.array([[0.5, np.nan]]))


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
