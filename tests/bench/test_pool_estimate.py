"""The simulation that says whether the pool estimate is unbiased, and how exact it is."""

import numpy as np

from pt4al_backend.analysis.pool_estimate import PoolConfidence
from pt4al_backend.bench.pool_estimate import Model, redraw, sections


def model(seed: int, labels: int = 40) -> Model:
    rng = np.random.default_rng(seed)
    sure = rng.beta(3, 1.5, 2_000)
    right = (rng.random(2_000) < sure).astype(np.float64)
    return Model(seed, labels, right, sure, PoolConfidence(0.67, 0.0, 0.001, tells=True), {"labels": 0.01 * seed})


def test_redraws_of_one_model_are_the_same_each_time_and_differ_by_seed() -> None:
    first, again, other = (redraw(model(seed), 30, 50).values["estimate"].tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_control_picks_alone_and_the_estimate_are_measured_against_the_same_truth() -> None:
    found = redraw(model(0), 60, 1_000)
    for name in ("plain", "estimate", "t", "PPI++"):
        assert abs(found.bias(name)) < 0.01
        assert 0.85 < found.held(name) < 0.99
    assert found.width("estimate") < found.width("plain")


def test_tables_have_a_row_for_each_number_of_labels_and_of_control_picks() -> None:
    parts = sections([model(seed, labels) for seed in (0, 1) for labels in (40, 80)], 20)
    assert [part.heading for part in parts] == ["By control picks", "Other intervals", "What is counted of the pool"]
    text = "\n".join(part.markdown(drawn=False) for part in parts)
    assert "nan" not in text
    assert parts[0].table.count("\n") == 1 + 2 * 4
    assert "+0.50 ± 0.50" in parts[2].table
