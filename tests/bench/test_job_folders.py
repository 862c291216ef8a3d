"""Which runs and analyses share a training on the whole pool."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pt4al_backend.bench import job_folders
from pt4al_backend.bench.job_folders import digest, ranking_name, supervised_name
from pt4al_backend.bench.locks import held
from pt4al_backend.bench.truth import Truth
from pt4al_backend.config import project_settings
from pt4al_backend.errors import ConfigError
from pt4al_backend.jobs.network_job import NetworkJob
from tests.support.images import CLASSES

IMAGES = 60
LABELS, IDS = np.resize(CLASSES, IMAGES), np.arange(IMAGES).astype(np.str_)
TRUTH = Truth("classification", CLASSES, Path("pixels"), (16, 16), (16, 16), LABELS, 48, Path("masks"), ids=IDS)


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
        {"init": "imagenet"},
        {"seed": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_ranking_is_not_shared_by_runs_that_would_rank_differently(change: dict[str, object]) -> None:
    names = [ranking_name(TRUTH, project_settings(params), "cpu") for params in ({}, change)]
    assert names[0] != names[1]


@pytest.mark.parametrize("change", [{"shape": (8, 8)}, {"pool": 40}, {"ids": np.array(["other"] * IMAGES)}], ids=str)
def test_a_ranking_is_not_shared_by_pools(change: dict[str, Any]) -> None:
    assert ranking_name(TRUTH, project_settings({}), "cpu") != ranking_name(replace(TRUTH, **change), project_settings({}), "cpu")


def test_a_ranking_is_shared_by_strategies_and_initial_weights() -> None:
    settings = [{"strategy": "random", "epochs": 1}, {"strategy": "pt4al", "epochs": 2}, {"init": "fresh"}]
    assert len({ranking_name(TRUTH, project_settings(each), "cpu") for each in settings}) == 1


@pytest.mark.parametrize(
    "change",
    [{"epochs": 3}, {"schedule": "step"}, {"minibatch_size": 4}, {"class_weights": "balanced"}, {"width": 8}, {"seed": 1}],
    ids=lambda change: next(iter(change)),
)
def test_a_network_of_the_whole_pool_is_not_shared_by_recipes(change: dict[str, Any]) -> None:
    names = [supervised_name(TRUTH, project_settings(params), "cpu") for params in ({}, change)]
    assert names[0] != names[1]


@pytest.mark.parametrize("change", [{"pool": 40}, {"ids": np.array(["other"] * IMAGES)}, {"labels": LABELS[::-1]}], ids=str)
def test_a_network_of_the_whole_pool_is_not_shared_by_other_images_or_labels(change: dict[str, Any]) -> None:
    names = [supervised_name(each, project_settings({}), "cpu") for each in (TRUTH, replace(TRUTH, **change))]
    assert names[0] != names[1]


def test_a_network_of_the_whole_pool_is_shared_by_strategies_and_test_images() -> None:
    params = ({"strategy": "random", "query_size": 4}, {"strategy": "pt4al", "init": "pretext", "pretext": "jigsaw"})
    others = replace(TRUTH, labels=np.append(LABELS[:48], LABELS[:12]), ids=np.append(IDS[:48], ["new"] * 12))
    assert len({supervised_name(truth, project_settings(each), "cpu") for each in params for truth in (TRUTH, others)}) == 1


def test_a_digest_tells_arrays_apart_by_value_order_and_place() -> None:
    rows, labels = np.arange(4), LABELS[:4]
    others = [(rows[::-1], labels), (rows, labels[::-1]), (rows[:3], labels), (rows.astype(np.int32), labels), (labels, rows)]
    assert len({digest(*each) for each in [(rows, labels), *others]}) == 6
    assert digest(rows.copy(), labels.copy()) == digest(rows, labels)


@pytest.mark.parametrize(
    ("make", "kind"), [(job_folders.rank, "rank"), (job_folders.learn_pool, "learn")], ids=["ranking", "network"]
)
def test_a_training_on_the_whole_pool_is_one_processes_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[..., Path], kind: str
) -> None:
    trained = []

    def train(job: NetworkJob[Any], _: object) -> None:
        with pytest.raises(ConfigError, match="Another process runs"), held(job.folder, wait=False):
            pass
        trained.append(job.spec.kind)

    monkeypatch.setattr(job_folders, "work", train)
    make(tmp_path / "shared", TRUTH, project_settings({}), "cpu")
    assert trained == [kind]
