"""Strategies with an oracle in place of annotators, on the live engine's jobs."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pt4al_backend.bench import hardware
from pt4al_backend.bench.arms import Arm
from pt4al_backend.bench.oracle import Run
from pt4al_backend.bench.records import RECORDS
from pt4al_backend.bench.truth import Truth
from pt4al_backend.config import project_settings
from pt4al_backend.config.catalog import STRATEGIES
from pt4al_backend.errors import ConfigError, StoreCorrupt
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.jobs.folder import CHECKPOINT
from pt4al_backend.progress import Progress, Report
from pt4al_backend.query.strategies import Strategy
from tests.support.images import CLASSES
from tests.support.pools import ARROWS, ROSETTES, SCENES, Pool
from tests.support.spoilt import spoilt

pytestmark = pytest.mark.slow

IMAGES, TEST = 60, 12
TWISTS = {"order", "blind", "best_epoch", "weights"}


def truth_of(pool: Pool, folder: Path) -> Truth:
    rows = np.arange(IMAGES)
    labels = pool.labels(folder / "masks", rows)
    store = pool.store(folder / "pixels", IMAGES)
    masks, ids = folder / "masks", rows.astype(np.str_)
    return Truth(pool.task, pool.classes, store, pool.shape, pool.shape, labels, IMAGES - TEST, masks, ids=ids)


def run_of(pool: Pool, folder: Path, **params: object) -> Run:
    options = {**pool.settings, "rounds": 3, "query_size": 8, "epochs": 1, "pretext_epochs": 1, **params}
    variations = {key: options.pop(key) for key in TWISTS & options.keys()}
    run = folder / f"seed-{options.get('seed', 0)}"
    return Run(run, truth_of(pool, folder), project_settings(options), folder, Arm("arm", **variations), device="cpu")


def half_one_picture(path: Path, count: int) -> Path:
    """A store of arrows of which the first twenty are one and the same."""
    ARROWS.store(path, count)
    with FrameFile(path, ARROWS.shape) as frames:
        for row in range(1, 20):
            frames.write(row, frames.read(np.array([0]))[0])
    return path


def test_of_identical_images_one_is_queried(tmp_path: Path) -> None:
    run = run_of(replace(ARROWS, store=half_one_picture), tmp_path, strategy="random")
    queried = [row for record in run(3) for row in record["query"]]
    assert sum(row < 20 for row in queried) == 1
    assert len(queried) == 24


@pytest.mark.parametrize(
    ("params", "pool"),
    [
        ({"strategy": "typiclust"}, ARROWS),
        ({"strategy": "badge"}, ARROWS),
        ({"strategy": "drop_query"}, ARROWS),
        ({"sampler": "k_center"}, ARROWS),
        ({"strategy": "core_set"}, SCENES),
    ],
    ids=lambda each: each.task if isinstance(each, Pool) else "-".join(each.values()),
)
def test_feature_strategy_gets_features_each_round(
    tmp_path: Path, params: dict[str, str], pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = []
    run = run_of(pool, tmp_path, **params)
    kind = STRATEGIES.load(params.get("strategy", "pt4al"), Strategy)
    query = kind.query
    monkeypatch.setattr(kind, "query", lambda self, request: outputs.append(request.output) or query(self, request))
    records = list(run(2))
    assert [record["labels"] for record in records] == [8, 16]
    assert len({i for record in records for i in record["query"]}) == 16
    first, second = outputs
    assert (first is not None) == (params.get("strategy") in {"typiclust", "drop_query"})
    assert ("drop_consistency" in second.confidences) == (params.get("strategy") == "drop_query")
    assert len(second.labelled) == 8
    assert len(second.features) == len(second.positions)


@pytest.mark.parametrize("pool", [ARROWS, SCENES], ids=lambda pool: pool.task)
def test_companion_strategy_gets_its_confidences(tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = []
    run = run_of(pool, tmp_path, strategy="learning_loss")
    kind = STRATEGIES.load("learning_loss", Strategy)
    query = kind.query
    monkeypatch.setattr(kind, "query", lambda self, request: outputs.append(request.output) or query(self, request))
    records = list(run(2))
    assert [output is None for output in outputs] == [True, False]
    chosen = outputs[1].positions[np.argsort(outputs[1].confidences["learning_loss"], kind="stable")][:8]
    left = np.setdiff1d(np.arange(IMAGES - TEST), records[0]["query"])
    assert set(records[1]["query"]) == set(left[chosen].tolist())


def test_strategy_that_needs_image_posteriors_is_refused_for_segmentation(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'badge' needs posteriors"):
        run_of(SCENES, tmp_path, strategy="badge")


def test_killed_run_resumes_after_its_last_whole_round(tmp_path: Path) -> None:
    records = list(run_of(ARROWS, tmp_path)(1))
    with (tmp_path / "seed-0" / RECORDS).open("a") as file:
        file.write('{"strategy": "pt4')
    again = list(run_of(ARROWS, tmp_path)(2))
    assert again[:1] == records
    assert run_of(ARROWS, tmp_path).records() == again
    assert [record["round"] for record in again] == [1, 2]


def test_record_names_its_machine_and_another_machine_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, machine in enumerate(("old", "new"), 1):
        monkeypatch.setattr(hardware, "name", lambda _device, name=machine: name)
        records = list(run_of(ARROWS, tmp_path, strategy="random")(number))
    assert [record["machine"] for record in records] == ["old", "new"]


def test_extended_run_equals_one_with_all_rounds_from_the_start(tmp_path: Path) -> None:
    settings = {"strategy": "learning_loss"}
    whole = list(run_of(ARROWS, tmp_path / "whole", **settings)(3))
    list(run_of(ARROWS, tmp_path / "parts", **settings)(2))
    parts = list(run_of(ARROWS, tmp_path / "parts", **settings)(3))
    assert [(record["value"], record["query"]) for record in parts] == [(record["value"], record["query"]) for record in whole]


def test_last_round_scores_no_candidates(tmp_path: Path) -> None:
    list(run_of(ARROWS, tmp_path, strategy="pal")(2))
    scored = [len(np.load(tmp_path / "seed-0" / f"learn-{number}" / "candidates.npy")) for number in (1, 2)]
    assert scored == [IMAGES - TEST - 8, 0]


def test_damaged_output_is_named_and_made_again_once_deleted(tmp_path: Path) -> None:
    run = run_of(ARROWS, tmp_path, strategy="margin")(2)
    first = next(run)
    damaged = tmp_path / "seed-0" / "learn-1" / "result" / "candidates.npz"
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(StoreCorrupt, match="learn-1 is missing or damaged"):
        next(run)
    shutil.rmtree(tmp_path / "seed-0" / "learn-1")
    again = list(run_of(ARROWS, tmp_path, strategy="margin")(2))
    assert again[0] == first
    assert len(again) == 2


def test_warm_started_run_with_a_missing_model_is_not_resumed(tmp_path: Path) -> None:
    warm = {"warm_start": True, "init": "fresh"}
    list(run_of(ARROWS, tmp_path, **warm)(2))
    shutil.rmtree(tmp_path / "seed-0" / "learn-1")
    with pytest.raises(StoreCorrupt, match="learn-1 is missing") as refused:
        list(run_of(ARROWS, tmp_path, **warm)(3))
    assert str(tmp_path / "seed-0") in refused.value.remedy


class Stopped(Exception):
    """The work that reports is to end."""


def stop_in(phase: str, epoch: int) -> Report:
    def report(progress: Progress) -> None:
        if (progress.phase, progress.epoch) == (phase, epoch):
            raise Stopped

    return report


def test_stopped_training_resumes_to_the_same_values(tmp_path: Path) -> None:
    settings = {"epochs": 6, "strategy": "margin", "init": "fresh", "width": 8}
    whole = list(run_of(ARROWS, tmp_path / "whole", **settings)(2))
    reported: list[Progress] = []
    with pytest.raises(Stopped):
        list(run_of(ARROWS, tmp_path / "parts", **settings)(2, stop_in("training", 4)))
    parts = list(run_of(ARROWS, tmp_path / "parts", **settings)(2, reported.append))
    assert [(each["value"], each["query"]) for each in parts] == [(each["value"], each["query"]) for each in whole]
    assert next(each.note for each in reported if each.phase == "training").startswith("Resuming after epoch ")
    assert not list(tmp_path.rglob(CHECKPOINT))


@pytest.mark.parametrize(("phase", "part"), [("pretext", "rank"), ("training", "train")])
def test_seconds_before_a_stop_count(tmp_path: Path, phase: str, part: str) -> None:
    settings = {"epochs": 4, "pretext_epochs": 4, "init": "pretext", "strategy": "random", "width": 8}
    with pytest.raises(Stopped):
        next(run_of(ARROWS, tmp_path, **settings)(1, stop_in(phase, 3)))
    (checkpoint,) = tmp_path.rglob(CHECKPOINT)
    state = torch.load(checkpoint, weights_only=True)
    torch.save({**state, "seconds": state["seconds"] + 1e6}, checkpoint)
    with pytest.raises(Stopped):  # in the same epoch, behind a checkpoint of its own or not
        next(run_of(ARROWS, tmp_path, **settings)(1, stop_in(phase, 3)))
    assert next(run_of(ARROWS, tmp_path, **settings)(1))["seconds"][part] > 1e6


def test_stopped_ranking_is_resumed_by_another_arm(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        list(run_of(ARROWS, tmp_path, pretext_epochs=4)(1, stop_in("pretext", 3)))
    reported: list[Progress] = []
    list(run_of(ARROWS, tmp_path, pretext_epochs=4, seed=0, epochs=2, init="fresh", sampler="entropy")(1, reported.append))
    assert next(each.note for each in reported if each.phase == "pretext").startswith("Resuming after epoch ")


def test_a_round_that_was_damaged_by_hand_is_run_again(tmp_path: Path) -> None:
    first = next(run_of(ARROWS, tmp_path)(1))
    (tmp_path / "seed-0" / "learn-1" / "job.json").write_text("garbage")
    path = tmp_path / "seed-0" / RECORDS
    path.write_text(path.read_text().replace(str(first["query"]), str([*first["query"][:-1], IMAGES])))
    assert run_of(ARROWS, tmp_path).damaged() == 1
    assert {**next(run_of(ARROWS, tmp_path)(1)), "seconds": 0} == {**first, "seconds": 0}


def test_one_process_runs_a_folder_at_a_time(tmp_path: Path) -> None:
    first, second = run_of(ARROWS, tmp_path)(2), run_of(ARROWS, tmp_path)(2)
    next(first)
    with pytest.raises(ConfigError, match="Another process"):
        next(second)
    assert len([1, *first]) == 2


def test_round_with_labels_of_one_class_has_no_model(tmp_path: Path) -> None:
    first, second = run_of(ARROWS, tmp_path, query_size=1, rounds=20, strategy="random")(2)
    assert (first["labels"], first["value"], first["metric"]) == (1, None, "accuracy")
    assert "two classes or more" in first["notes"][0]
    assert (second["labels"], len(set(first["query"] + second["query"]))) == (2, 2)
    assert list(run_of(ARROWS, tmp_path, query_size=1, rounds=20, strategy="random")(3))[:2] == [first, second]


def test_meaningless_pretext_is_not_used_and_noted(tmp_path: Path) -> None:
    (record,) = run_of(ROSETTES, tmp_path, first_query="top_k", init="fresh")(1)
    (ranking,) = tmp_path.glob("ranking-*")
    hardest = np.argsort(-np.load(ranking / "result" / "losses.npy"))[:8]
    assert set(record["query"]) != set(hardest.tolist())
    assert "at random" in record["notes"][0]
    assert first_of(tmp_path / "learned")["notes"] == []


def test_arm_with_pretext_features_notes_no_random_batches(tmp_path: Path) -> None:
    (record,) = run_of(ARROWS, tmp_path, strategy="typiclust", init="fresh")(1)
    assert record["notes"] == []
    assert "rank" in record["seconds"]


@pytest.mark.parametrize(
    ("order", "init", "rankings"),
    [("none", "fresh", 0), ("none", "pretext", 1), ("loss", "fresh", 1)],
    ids=lambda each: str(each),
)
def test_arm_pays_only_for_a_ranking_that_it_uses(tmp_path: Path, order: str, init: str, rankings: int) -> None:
    (record,) = run_of(ROSETTES, tmp_path, order=order, init=init)(1)
    assert len(list(tmp_path.glob("ranking-*"))) == rankings
    assert ("rank" in record["seconds"]) == bool(rankings)
    assert len(record["notes"]) == (order == "loss")  # says that the ranking is meaningless


def test_blind_arm_queries_by_losses(tmp_path: Path) -> None:
    query = first_of(tmp_path, strategy="typiclust", blind=True)["query"]
    (ranking,) = tmp_path.glob("ranking-*")
    assert set(query) == set(np.argsort(np.load(ranking / "result" / "losses.npy"))[-8:].tolist())


def test_an_arm_that_asks_for_imagenet_weights_where_there_are_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="learn-1 was trained from fresh weights: ImageNet's fit no such network"):
        list(run_of(ARROWS, tmp_path, init="imagenet", strategy="random")(1))


def test_an_arm_whose_trainings_start_from_no_learner_cannot_name_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="it names weights of 'jigsaw', and its trainings start from init=fresh"):
        Arm("arm", {"init": "fresh"}, weights="jigsaw").options()


def test_run_repairs_a_corrupt_round_from_its_model(tmp_path: Path) -> None:
    records = list(run_of(ARROWS, tmp_path)(2))
    path = tmp_path / "seed-0" / RECORDS
    first, second = path.read_text().splitlines()
    path.write_text(f"{first[:40]}\n{second}\n")
    again = list(run_of(ARROWS, tmp_path)(2))
    assert [{**record, "seconds": 0} for record in again] == [{**record, "seconds": 0} for record in records]


@pytest.mark.parametrize("change", [{"order": "reversed"}, {"blind": True}], ids=lambda change: next(iter(change)))
def test_changed_arm_does_not_reuse_the_model_of_another_query(tmp_path: Path, change: dict[str, object]) -> None:
    settings = {"first_query": "top_k", "warm_start": True, "sampler": "entropy", **LEARNED}
    list(run_of(ARROWS, tmp_path / "changed", **settings)(2))
    (tmp_path / "changed" / "seed-0" / RECORDS).unlink()
    changed, own = (list(run_of(ARROWS, tmp_path / name, **settings, **change)(2)) for name in ("changed", "own"))
    assert [(record["query"], record["value"]) for record in changed] == [(record["query"], record["value"]) for record in own]
    trained_on = [np.load(tmp_path / "changed" / "seed-0" / f"learn-{number}" / "train.npz")["rows"] for number in (1, 2)]
    assert [rows.tolist() for rows in trained_on] == [
        changed[0]["query"],
        changed[0]["query"] + changed[1]["query"],
    ]


def test_a_folder_with_rounds_of_other_settings_is_refused(tmp_path: Path) -> None:
    list(run_of(ARROWS, tmp_path)(1))
    with pytest.raises(ConfigError, match="other settings"):
        list(run_of(ARROWS, tmp_path, epochs=2)(2))


def test_rounds_of_other_settings_are_refused_with_the_difference(tmp_path: Path) -> None:
    list(run_of(ARROWS, tmp_path)(1))
    with pytest.raises(ConfigError, match="epochs 1 and not 2, order None and not 'text'"):
        list(run_of(ARROWS, tmp_path, order="text", epochs=2)(1))


def test_another_seed_is_refused_other_settings_with_the_difference_before_it_trains(tmp_path: Path) -> None:
    list(run_of(ARROWS, tmp_path, strategy="random")(1))
    with pytest.raises(ConfigError, match=r"seed-0 holds rounds .* other settings: blind None and not True, epochs 1 and not 2"):
        list(run_of(ARROWS, tmp_path, strategy="random", seed=1, epochs=2, blind=True)(1))
    assert not (tmp_path / "seed-1").exists()
    assert len(list(run_of(ARROWS, tmp_path, strategy="random", seed=1)(1))) == 1


def test_rounds_that_the_pool_is_too_small_for_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="48 usable images are too few for 3 rounds of 20"):
        run_of(ARROWS, tmp_path, query_size=20)


def test_too_many_rounds_for_the_pool_are_refused_before_training(tmp_path: Path) -> None:
    run = run_of(ARROWS, tmp_path, strategy="random", query_size=20, rounds=2)
    with pytest.raises(ConfigError, match="48 usable images are too few for 3 rounds of 20, 60 in all"):
        list(run(3))
    assert not (tmp_path / "seed-0").exists()
    run.records(2)


#: With these epochs arrows are not ranked by accident.
LEARNED = {"pretext_epochs": 12, "init": "fresh"}


def first_of(folder: Path, **params: object) -> dict[str, Any]:
    return next(iter(run_of(ARROWS, folder, **{"first_query": "top_k", **LEARNED, **params})(1)))


@pytest.mark.parametrize("setting", ["control_share", "reserve_size"])
def test_settings_that_a_benchmark_would_not_follow_are_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=f"Arm 'a': the setting '{setting}' has no use here"):
        Arm.parse(f'a={{"{setting}": 0}}')
    Arm.parse('a={"preset": "paper"}')  # which sets both as a benchmark does


def test_an_arm_may_rank_as_the_published_code_does(tmp_path: Path) -> None:
    query = first_of(tmp_path, order="text", query_size=16)["query"]
    (ranking,) = tmp_path.glob("ranking-*")
    losses = [repr(value) for value in np.load(ranking / "result" / "losses.npy").tolist()]
    assert query == sorted(range(len(losses)), key=lambda i: losses[i], reverse=True)[:16]


def test_an_arm_may_ask_the_lowest_losses_first(tmp_path: Path) -> None:
    high, low = (set(first_of(tmp_path / order, order=order)["query"]) for order in ("loss", "reversed"))
    (ranking,) = (tmp_path / "loss").glob("ranking-*")
    order = np.argsort(np.load(ranking / "result" / "losses.npy"))
    assert (high, low) == (set(order[-8:].tolist()), set(order[:8].tolist()))


def test_blind_arm_follows_the_ranking(tmp_path: Path) -> None:
    run = run_of(ARROWS, tmp_path, first_query="top_k", blind=True, **LEARNED)
    queried = [i for record in run(2) for i in record["query"]]
    (ranking,) = tmp_path.glob("ranking-*")
    assert set(queried) == set(np.argsort(np.load(ranking / "result" / "losses.npy"))[-16:].tolist())


def test_arm_may_start_from_another_learner_than_the_ranking_one(tmp_path: Path) -> None:
    record = first_of(tmp_path, init="pretext", weights="jigsaw")
    assert record["init"] == "pretext"
    assert sorted(path.name.split("-seed")[0] for path in tmp_path.glob("ranking-*")) == ["ranking-jigsaw", "ranking-rotation"]


def test_an_arm_may_end_with_its_best_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the images that it is chosen by; that is what is wrong with it."""

    def value(name: str, *, best_epoch: bool) -> float:
        return float(first_of(tmp_path / name, best_epoch=best_epoch, first_query="random", query_size=16, epochs=24)["value"])

    last, best = value("last", best_epoch=False), value("best", best_epoch=True)
    monkeypatch.setattr("pt4al_backend.jobs.learn.BestEpoch", spoilt(24))
    assert value("spoilt", best_epoch=True) == best >= last
    assert best > 1 / len(CLASSES)
