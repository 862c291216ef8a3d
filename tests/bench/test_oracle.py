"""Strategies with an oracle in place of annotators, on the live engine's jobs."""

from pathlib import Path

import numpy as np
import pytest

from pt4al_backend.bench.oracle import Run
from pt4al_backend.bench.truth import Truth
from pt4al_backend.errors import ConfigError
from pt4al_backend.settings import project_settings
from tests.pools import ARROWS, SCENES, Pool

IMAGES, TEST = 60, 12


def truth_of(pool: Pool, folder: Path) -> Truth:
    rows = np.arange(IMAGES)
    labels = pool.labels(folder / "masks", rows)
    store = pool.store(folder / "pixels", IMAGES)
    return Truth(pool.task, pool.classes, store, pool.shape, pool.shape, labels, IMAGES - TEST, folder / "masks")


def run_of(pool: Pool, folder: Path, **params: object) -> Run:
    options = {**pool.settings, "rounds": 3, "query_size": 8, "epochs": 1, "pretext_epochs": 1, **params}
    return Run(folder / "run", truth_of(pool, folder), project_settings(options), folder / "ranking", device="cpu")


@pytest.mark.parametrize(
    ("params", "pool"),
    [
        ({"strategy": "typiclust"}, ARROWS),
        ({"strategy": "badge"}, ARROWS),
        ({"strategy": "core_gcn"}, ARROWS),
        ({"sampler": "k_center"}, ARROWS),
        ({"strategy": "core_set"}, SCENES),
    ],
    ids=lambda each: each.task if isinstance(each, Pool) else "-".join(each.values()),
)
def test_a_strategy_by_features_is_fed_round_by_round(
    tmp_path: Path, params: dict[str, str], pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken = []
    run = run_of(pool, tmp_path, **params)
    kind = type(run._strategy(1))
    query = kind.query
    monkeypatch.setattr(kind, "query", lambda self, asked: spoken.append(asked.said) or query(self, asked))
    records = list(run(2))
    assert [record["labels"] for record in records] == [8, 16]
    assert len({i for record in records for i in record["query"]}) == 16
    first, second = spoken
    assert (first is not None) == (params.get("strategy") == "typiclust")
    assert len(second.labelled) == 8
    assert len(second.features) == len(second.positions)


def test_a_strategy_that_the_main_task_has_nothing_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'badge' needs a posterior"):
        run_of(SCENES, tmp_path, strategy="badge")
