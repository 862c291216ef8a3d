"""What a model's confidence on the whole pool adds to its control picks."""

from dataclasses import replace

import numpy as np
import pytest

from pt4al_backend import wilson
from pt4al_backend.analysis.pool_estimate import PoolConfidence, estimate

DRAWS = 1_000
USABLE = PoolConfidence(0.7, 0.0, 0.0, tells=True)


def population(*, calibrated: bool) -> tuple[np.ndarray, np.ndarray]:
    """Whether a model is right, and how sure it is: by its confidence, or far too sure of itself."""
    rng = np.random.default_rng(0)
    chance = rng.beta(3, 1.5, 5_000)
    right = (rng.random(5_000) < chance).astype(np.float64)
    return right, chance if calibrated else chance**0.2


def redrawn(right: np.ndarray, sure: np.ndarray, picks: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, whether their intervals held the truth, and widths over those of the picks alone."""
    rng, pool = np.random.default_rng(picks), replace(USABLE, mean=float(sure.mean()))
    found, plain = [], []
    for _ in range(DRAWS):
        drawn = rng.integers(0, len(right), picks)
        found.append(estimate(right[drawn], sure[drawn], pool))
        plain.append(np.diff(wilson.bounds(float(right[drawn].mean()), picks)).item())
    held = np.array([each.low <= right.mean() <= each.high for each in found])
    widths = np.array([each.high - each.low for each in found]) / np.mean(plain)
    return np.array([each.value for each in found]), held, widths


@pytest.mark.parametrize("calibrated", [True, False])
@pytest.mark.parametrize("picks", [30, 120])
def test_estimate_is_unbiased_and_its_interval_honest_however_sure_the_model_is(picks: int, calibrated: bool) -> None:
    right, sure = population(calibrated=calibrated)
    values, held, widths = redrawn(right, sure, picks)
    assert abs(values.mean() - right.mean()) < 4 * values.std() / np.sqrt(DRAWS)
    assert held.mean() > 0.92
    assert widths.mean() < 1


def test_confidence_that_tells_makes_the_interval_narrower() -> None:
    right, sure = population(calibrated=True)
    assert redrawn(right, sure, 120)[2].mean() < 0.95


def test_images_that_stand_for_others_make_it_less_exact() -> None:
    right, sure = population(calibrated=True)
    whole, drawn = (estimate(right[:60], sure[:60], replace(USABLE, variance=each)) for each in (0.0, 0.0005))
    assert 60 < drawn.worth < whole.worth


def test_labelled_images_count_by_models_that_have_not_learned_them() -> None:
    labelled, right = np.full(10, 0.4), np.zeros(10)
    found = PoolConfidence.of(np.full(30, 0.8), 90, labelled, right)
    assert found.mean == pytest.approx((90 * 0.8 + 10 * 0.4) / 100)
    assert found.doubt == pytest.approx(0.8 - found.mean)
    unjudged = PoolConfidence.of(np.full(30, 0.8), 90, labelled, right, 25)
    assert unjudged.mean == found.mean
    assert unjudged.doubt == pytest.approx(found.doubt + 25 / 125)


@pytest.mark.parametrize(
    ("pool", "picks", "suits"),
    [
        (USABLE, 60, True),
        (USABLE, 12, False),  # three or four of them are wrong
        (replace(USABLE, mean=0.97), 60, False),
        (replace(USABLE, tells=False), 60, False),
        (replace(USABLE, doubt=0.08), 60, False),
        (replace(USABLE, doubt=0.08), 20, True),
    ],
)
def test_control_picks_stand_alone_where_confidence_helps_little_or_may_mislead(
    pool: PoolConfidence, picks: int, suits: bool
) -> None:
    assert pool.suits(picks) is suits


def test_confidence_tells_nothing_if_cross_validated_labels_do_not_bear_it_out() -> None:
    right = np.tile([1.0, 0.0], 20)
    known = {
        tells: PoolConfidence.of(np.full(9, 0.6), 9, sure, right) for tells, sure in ((True, right * 0.6), (False, right * 0.01))
    }
    assert [found.tells for found in known.values()] == [True, False]
    assert not PoolConfidence.of(np.full(9, 0.6), 9, np.empty(0), np.empty(0)).tells


@pytest.mark.parametrize("answer", [0.0, 1.0])
def test_picks_that_are_all_alike_have_an_interval_with_width(answer: float) -> None:
    found = estimate(np.full(20, answer), np.full(20, 0.9), replace(USABLE, mean=0.9))
    assert 0 <= found.low < found.high <= 1
    assert found.low - 1e-9 <= found.value <= found.high + 1e-9
