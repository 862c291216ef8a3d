"""Strategies with an oracle in place of annotators, on the live engine's jobs."""

from pathlib import Path

import numpy as np
import pytest

from pt4al_backend.bench.oracle import Run, ranking_name
from pt4al_backend.bench.records import RECORDS
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


@pytest.mark.parametrize("pool", [ARROWS, SCENES], ids=lambda pool: pool.task)
def test_a_strategy_is_told_what_its_companion_says(tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    spoken = []
    run = run_of(pool, tmp_path, strategy="learning_loss")
    kind = type(run._strategy(1))
    query = kind.query
    monkeypatch.setattr(kind, "query", lambda self, asked: spoken.append(asked.said) or query(self, asked))
    records = list(run(2))
    assert [said is None for said in spoken] == [True, False]
    asked = spoken[1].positions[np.argsort(spoken[1].confidences["learning_loss"], kind="stable")][:8]
    left = np.setdiff1d(np.arange(IMAGES - TEST), records[0]["query"])
    assert set(records[1]["query"]) == set(left[asked].tolist())


def test_a_strategy_that_the_main_task_has_nothing_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'badge' needs a posterior"):
        run_of(SCENES, tmp_path, strategy="badge")


def test_a_run_that_was_killed_while_it_wrote_goes_on_after_its_last_whole_round(tmp_path: Path) -> None:
    records = list(run_of(ARROWS, tmp_path)(1))
    with (tmp_path / "run" / RECORDS).open("a") as file:
        file.write('{"strategy": "pt4')
    again = list(run_of(ARROWS, tmp_path)(2))
    assert again[:1] == records
    assert run_of(ARROWS, tmp_path).records() == again
    assert [record["round"] for record in again] == [1, 2]


def test_a_run_mends_a_corrupt_round_from_what_it_learned(tmp_path: Path) -> None:
    records = list(run_of(ARROWS, tmp_path)(2))
    path = tmp_path / "run" / RECORDS
    first, second = path.read_text().splitlines()
    path.write_text(f"{first[:40]}\n{second}\n")
    again = list(run_of(ARROWS, tmp_path)(2))
    assert [{**record, "seconds": 0} for record in again] == [{**record, "seconds": 0} for record in records]


def test_a_folder_with_rounds_of_other_settings_is_refused(tmp_path: Path) -> None:
    list(run_of(ARROWS, tmp_path)(1))
    with pytest.raises(ConfigError, match="other settings"):
        list(run_of(ARROWS, tmp_path, epochs=2)(2))


@pytest.mark.parametrize(
    "change",
    [
        {"pretext": "jigsaw"},
        {"pretext_epochs": 2},
        {"pretext_holdout": 0.2},
        {"encoder": "resnet34"},
        {"architecture": "deeplabv3"},
        {"width": 8},
        {"learning_rate": 0.01},
        {"init": "fresh"},
        {"image_size": 48},
        {"seed": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_ranking_is_not_shared_by_runs_that_would_rank_differently(change: dict[str, object]) -> None:
    names = [ranking_name("classification", project_settings(params), "cpu") for params in ({}, change)]
    assert names[0] != names[1]


def test_a_ranking_is_shared_by_strategies() -> None:
    settings = [project_settings({"strategy": name, "epochs": epochs}) for name, epochs in (("random", 1), ("pt4al", 2))]
    assert len({ranking_name("classification", each, "cpu") for each in settings}) == 1
