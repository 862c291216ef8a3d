"""The paper's rounds of classification, end to end: what ranks, what is queried, and what is trained."""

from pathlib import Path

import numpy as np
import pytest

from pt4al_backend import artefacts
from pt4al_backend.bench.arms import Arm
from pt4al_backend.bench.oracle import Run
from pt4al_backend.bench.truth import Truth
from pt4al_backend.config import project_settings
from tests.support.pools import ARROWS

pytestmark = pytest.mark.slow

POOL, TEST, ROUNDS, QUERY = 48, 12, 4, 4


def test_paper_preset_ranks_queries_and_trains_as_published(tmp_path: Path) -> None:
    rows = np.arange(POOL + TEST)
    labels, store = ARROWS.labels(tmp_path, rows), ARROWS.store(tmp_path / "pixels", len(rows))
    shape, ids = ARROWS.shape, rows.astype(np.str_)
    truth = Truth(ARROWS.task, ARROWS.classes, store, shape, shape, labels, POOL, tmp_path / "masks", ids=ids)
    options = project_settings({"preset": "paper", "rounds": ROUNDS, "query_size": QUERY, "epochs": 2, "width": 8})
    run = Run(tmp_path / "seed-0", truth, options, tmp_path, Arm("paper"), device="cpu")
    records = list(run(ROUNDS))

    (ranking,) = {path.parent for path in tmp_path.glob("*/result/losses.npy")}
    learner = artefacts.manifest(ranking)
    assert learner["quality"]["meaningful"]
    assert (learner["pretext"], learner["init"], learner["held_out"]) == ("rotation", "fresh", 0)
    ranked = np.argsort(-np.load(ranking / "losses.npy"), kind="stable")
    batches = ranked.reshape(ROUNDS, -1).tolist()
    first, *others = (record["query"] for record in records)
    assert first == batches[0][:: len(batches[0]) // QUERY]
    for number, query in enumerate(others, 1):
        folder = tmp_path / "seed-0" / f"learn-{number}"
        with np.load(folder / "result" / "candidates.npz") as found:
            unsure = found["least_confidence"]
        candidates = np.load(folder / "candidates.npy")
        assert set(candidates) == set(batches[number])
        assert query == candidates[np.argsort(unsure, kind="stable")][:QUERY].tolist()

    for number, record in enumerate(records, 1):
        model = artefacts.manifest(tmp_path / "seed-0" / f"learn-{number}" / "result")
        assert (model["init"], model["train_size"], model["recipe"]["schedule"]) == ("fresh", number * QUERY, "step")
        assert (model["network"]["kind"], model["network"]["stem"]) == ("resnet18", "small")
        assert record["labels"] == number * QUERY
