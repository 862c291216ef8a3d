"""``pt4al bench served``: whether the model that cross-validation chooses is the better one on images that it never sees."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pt4al_backend.bench import served
from pt4al_backend.bench.served import Line
from pt4al_backend.bench.truth import Truth
from pt4al_backend.config import project_settings
from pt4al_backend.errors import ConfigError
from tests.support import pools
from tests.support.encoders import ENCODER, weights_dir
from tests.support.pools import ARROWS

IMAGES, TEST, LABELS = 50, 12, 30
SIZE = 32


def line(**found: Any) -> Line:
    made = {"seed": 1, "labels": 60, "images": 60, "head": 0.7, "full": 0.8, "error": 0.05, "head_test": 0.75, "full_test": 0.85}
    more = {"test": 100, "seconds": 9.0, "settings": {}, "version": "1", "torch": "2", "machine": "a machine"}
    return Line(**{**made, **more, **found})


def test_served_model_is_that_of_the_rule_and_may_be_the_worse_one() -> None:
    for given, of_test, is_better_one in (
        ({}, 0.85, True),
        ({"full_test": 0.7}, 0.7, False),
        ({"error": 0.2}, 0.75, False),
        ({"error": 0.2, "full_test": 0.75}, 0.75, True),
    ):
        assert (line(**given).served_test, line(**given).is_better_one) == (of_test, is_better_one)


def test_table_has_a_row_for_each_number_of_labels_and_one_for_all() -> None:
    table = served.section([line(), line(seed=2, full_test=0.7), line(labels=30, error=0.2)]).table
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()[2:]]
    assert [(row[0], row[5], row[7]) for row in rows] == [
        ("30", "0 of 1", "0 of 1"),
        ("60", "2 of 2", "1 of 2"),
        ("all", "2 of 3", "1 of 3"),
    ]


@pytest.mark.training
def test_run_asks_labels_of_the_pool_alone_and_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PT4AL_WEIGHTS_DIR", str(weights_dir(tmp_path / "weights")))
    rows, shape = np.arange(IMAGES), (SIZE, SIZE)
    store = pools.arrows(tmp_path / "pixels", IMAGES, SIZE)
    labels = ARROWS.labels(tmp_path, rows)
    truth = Truth(ARROWS.task, ARROWS.classes, store, shape, shape, labels, IMAGES - TEST, tmp_path / "masks")
    truth = replace(truth, ids=rows.astype(np.str_), redraw=True)
    options = project_settings({"encoder": ENCODER, "epochs": 1, "seed": 3})
    (found,) = served.run(tmp_path, truth, [options], [LABELS], "cpu")
    assert (found.labels, found.images, found.test) == (LABELS, LABELS, TEST)
    with np.load(tmp_path / "jobs" / "seed-3-labels-30" / "compare" / "train.npz") as compared:
        assert set(compared["rows"].tolist()) <= set(truth.of_seed(3).rows.tolist())
    monkeypatch.setattr(served, "_tested", None)  # nothing is done again
    assert list(served.run(tmp_path, truth, [options], [LABELS], "cpu")) == [found]
    with pytest.raises(ConfigError, match="epochs"):
        list(served.run(tmp_path, truth, [options.model_copy(update={"epochs": 2})], [LABELS], "cpu"))
