"""Runs on the features of a frozen encoder: what they share, what they leave, and how they resume."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pt4al_backend.aliases import Json
from pt4al_backend.bench import features, pool_estimate, random_picks
from pt4al_backend.bench.arms import Arm
from pt4al_backend.bench.oracle import Run
from pt4al_backend.bench.truth import Truth
from pt4al_backend.config import project_settings
from pt4al_backend.errors import ConfigError
from tests.support import pools
from tests.support.encoders import ENCODER, weights_dir
from tests.support.pools import ARROWS

pytestmark = pytest.mark.training

IMAGES, TEST, SIZE = 60, 12, 32
SHAPE = (SIZE, SIZE)
HERDING = {"strategy": "pt4al", "first_query": "herding", "sampler": "herding", "batches": 2}


@pytest.fixture
def truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Truth:
    monkeypatch.setenv("PT4AL_WEIGHTS_DIR", str(weights_dir(tmp_path / "weights")))
    store = pools.arrows(tmp_path / "pixels", IMAGES, SIZE)
    labels, ids = ARROWS.labels(tmp_path / "masks", np.arange(IMAGES)), np.arange(IMAGES).astype(np.str_)
    return Truth(
        ARROWS.task, ARROWS.classes, store, SHAPE, SHAPE, labels, IMAGES - TEST, tmp_path / "masks", ids=ids, redraw=True
    )


def run_of(truth: Truth, folder: Path, seed: int = 0, **params: Any) -> Run:
    options = project_settings({"encoder": ENCODER, "rounds": 3, "query_size": 8, "seed": seed, **params})
    return Run(folder / f"seed-{seed}", truth.of_seed(seed), options, folder, Arm("arm"), device="cpu")


def without_seconds(records: Iterator[Json]) -> list[Json]:
    return [{**record, "seconds": 0} for record in records]


@pytest.mark.parametrize(
    "params", [{"strategy": "margin"}, {"strategy": "drop_query"}, HERDING], ids=["margin", "DropQuery", "PT4AL"]
)
def test_run_in_parts_equals_one_at_a_stretch_and_leaves_no_model(truth: Truth, tmp_path: Path, params: Json) -> None:
    whole = without_seconds(run_of(truth, tmp_path / "whole", **params)(3))
    list(run_of(truth, tmp_path / "parts", **params)(2))
    parts = without_seconds(run_of(truth, tmp_path / "parts", **params)(3))
    assert parts == whole
    assert [record["labels"] for record in whole] == [8, 16, 24]
    assert not list((tmp_path / "whole").rglob("learn-*"))


def test_balanced_accuracy_is_recorded(truth: Truth, tmp_path: Path) -> None:
    (record,) = run_of(truth, tmp_path, strategy="random")(1)
    assert 0 <= record["balanced"] <= 1
    assert record["init"] == "pretrained"


def test_seeds_share_the_features_and_draw_pools_of_their_own(
    truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (run_of(truth, tmp_path, seed, **HERDING) for seed in (0, 1))
    features.compute(truth, first.options, "cpu", turned=True)
    monkeypatch.delattr("pt4al_backend.learn.frozen.features.infer")  # nothing is left to describe
    queried = [{row for record in run(2) for row in record["query"]} for run in (first, second)]
    assert queried[0] <= set(truth.of_seed(0).rows.tolist())
    assert queried[1] <= set(truth.of_seed(1).rows.tolist())
    assert queried[0] != queried[1]


def test_pt4al_takes_its_batches_by_loss_when_the_first_query_is_by_features(truth: Truth, tmp_path: Path) -> None:
    run = run_of(truth, tmp_path, **HERDING)
    first, second = run(2)
    (ranking,) = tmp_path.glob("ranking-*")
    losses = dict(zip(np.load(ranking / "ids.npy").tolist(), np.load(ranking / "result" / "losses.npy"), strict=True))
    hardest = sorted(losses, key=lambda row: -losses[row])[: len(losses) // 2]
    easiest = set(losses) - set(hardest)
    assert first["notes"] == []
    assert set(second["query"]) <= easiest  # hardest and easiest take turns; the first query was of the whole pool


def test_images_of_one_class_leave_no_model(truth: Truth, tmp_path: Path) -> None:
    first, second = run_of(truth, tmp_path, strategy="margin", query_size=1)(2)
    assert (first["value"], second["labels"]) == (None, 2)
    assert "two classes or more" in first["notes"][0]


def test_pool_estimate_is_tried_on_the_models_of_finished_runs(truth: Truth, tmp_path: Path) -> None:
    folder = tmp_path / "arms" / "arm"
    for seed in (0, 1):
        list(run_of(truth, folder, seed, strategy="random")(2))
    found = list(pool_estimate.models(tmp_path, truth, "arm"))
    assert [(each.seed, each.labels) for each in found] == [(0, 8), (0, 16), (1, 8), (1, 16)]
    assert all(len(each.right) == TEST and 0 <= each.pool.mean <= 1 for each in found)
    with pytest.raises(ConfigError, match="'other'"):
        list(pool_estimate.models(tmp_path, truth, "other"))


def test_control_picks_that_are_learned_in_part_say_what_as_many_random_picks_give(
    truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="no finished runs"):
        random_picks.Heads(tmp_path, truth)
    list(run_of(truth, tmp_path / "arms" / "arm", strategy="random")(1))
    monkeypatch.setattr(random_picks, "PICKS", (12,))
    monkeypatch.setattr(random_picks, "LABELS_A_PICK", 2)
    found = list(random_picks.estimates(random_picks.Heads(tmp_path, truth), truth, 0))
    assert [(each.labels, each.is_forecast) for each in found] == [(4, False), (8, False), (24, True)]
    assert all(each.low <= each.value <= each.high and 0 <= each.truth <= 1 for each in found)
