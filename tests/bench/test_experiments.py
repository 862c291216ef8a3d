"""The named experiments: what is planned, and that each can be run by its command."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pt4al_backend import cli
from pt4al_backend.aliases import Json
from pt4al_backend.bench.arms import Arm
from pt4al_backend.bench.experiments import EXPERIMENTS, PRESETS
from pt4al_backend.bench.records import read
from pt4al_backend.config import project_settings
from pt4al_backend.config.catalog import STRATEGIES
from pt4al_backend.errors import ConfigError
from pt4al_backend.ops import terminal
from pt4al_backend.query.plan import require_fit
from tests.support.dataset_trees import TREES

FAST = '{"pretext_epochs": 1, "epochs": 1, "query_size": 4, "rounds": 3, "width": 8, "image_size": 16}'


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(terminal.err, "width", 250)
    TREES["cifar10-jpeg"](tmp_path / "given", monkeypatch)
    return tmp_path / "given"


def bench(name: str, data: Path, *arguments: object, seeds: int = 1) -> Result:
    chosen = ["--dataset", "cifar10-jpeg", "--data", data, "--pool", 40, "--test", 20, "--preset", "quick", "--seeds", seeds]
    given = ["bench", name, data.parent / "to", *chosen, "--settings", FAST, "--device", "cpu", *arguments]
    return CliRunner().invoke(cli.app, [*map(str, given)])


def arms(data: Path) -> dict[str, list[tuple[int, int]]]:
    return {name: [(each.seed, each.round) for each in found] for name, found in read(data.parent / "to").arms.items()}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_arm_of_every_experiment_can_be_run(name: str, preset: str) -> None:
    experiment = EXPERIMENTS[name]
    if (experiment.task, preset) == ("segmentation", "released-code"):
        with pytest.raises(ConfigError, match="published code has no segmentation"):
            experiment.planned(preset, experiment.dataset, {})
        return
    size, planned = experiment.planned(preset, experiment.dataset, {})
    names = [arm.name for arm in planned]
    assert len(set(names)) == len(names)
    assert "random" in names
    for arm in planned:
        settings = project_settings(arm.settings)
        require_fit(settings, experiment.task)
        assert settings.query_size == size.query


def test_the_main_comparison_has_every_strategy() -> None:
    assert {arm.settings["strategy"] for arm in EXPERIMENTS["main"].arms} == set(STRATEGIES)


def test_rivals_draw_their_first_query_uniformly_and_all_start_from_fresh_weights() -> None:
    _, planned = EXPERIMENTS["main"].planned("paper", "cifar10", {})
    settings = {arm.name: project_settings(arm.settings) for arm in planned}
    assert {each.init for each in settings.values()} == {"fresh"}
    rivals = [each for each in settings.values() if each.strategy not in {"pt4al", "random"}]
    assert {each.first_query for each in rivals} == {"random"}
    assert (settings["PT4AL"].first_query, settings["PT4AL"].rounds, settings["PT4AL"].epochs) == ("hardest_batch", 10, 200)


def test_the_published_code_is_a_preset() -> None:
    _, planned = EXPERIMENTS["ablations"].planned("released-code", "cifar10", {})
    ours = next(arm for arm in planned if arm.name == "PT4AL")
    settings = project_settings(ours.settings)
    assert (ours.order, ours.best_epoch) == ("text", True)
    assert (settings.warm_start, settings.sampler) == (True, "normalised_confidence")
    assert next(arm for arm in planned if arm.name == "sampling only").order == "none"


def test_experiment_runs_resumes_and_reports(data: Path) -> None:
    first = bench("main", data, "--only", "random", "--only", "PT4AL", "--time-limit", 1e-9)
    assert first.exit_code == 0, first.output
    assert "No round was finished within the time limit; the same command continues from here." in first.output
    done = bench("main", data, "--only", "random", "--only", "PT4AL", seeds=2)
    assert done.exit_code == 0, done.output
    assert "PT4AL, seed 1: 12 labels, accuracy" in done.output
    every = [(seed, number) for seed in (0, 1) for number in (1, 2, 3)]
    assert arms(data) == {"random": every, "PT4AL": every}
    report = (data.parent / "to" / "report" / "report.md").read_text()
    assert report.startswith("# All strategies (fig. 3); quick")


def test_time_limit_is_reported_only_if_something_is_left(data: Path) -> None:
    def limited(*names: str) -> str:
        only = [each for name in names for each in ("--only", name)]
        return bench("cold-start", data, *only, "--time-limit", 1e-9).output

    assert bench("cold-start", data, "--only", "random").exit_code == 0
    assert "time limit" not in limited("random")
    assert "The time limit was reached; the same command continues from here." in limited("random", "top-K")


def test_seeds_may_be_run_apart_and_share_rankings(data: Path) -> None:
    shared = ("--rankings", data.parent / "rankings")
    for seed in (0, 3):
        assert bench("cold-start", data, "--only", "random", "--only", "stratified", "--first-seed", seed, *shared).exit_code == 0
    assert arms(data) == {"random": [(0, 1), (3, 1)], "stratified": [(0, 1), (3, 1)]}
    assert len(list((data.parent / "rankings").glob("ranking-*"))) == 2


def test_arm_without_a_ranking_does_not_wait_for_one(data: Path) -> None:
    assert bench("cold-start", data, "--only", "random").exit_code == 0
    assert not list((data.parent / "to").glob("ranking-*"))
    (record,) = read(data.parent / "to").arms["random"]
    assert "rank" not in record.seconds


def test_another_folder_is_another_data_set(data: Path) -> None:
    assert bench("cold-start", data, "--only", "random").exit_code == 0
    moved = data.rename(data.parent / "moved")
    refused = bench("cold-start", moved, "--only", "random")
    assert refused.exit_code == 1
    assert "another data set" in refused.stderr


def test_damaged_rounds_are_counted_and_run_again(data: Path) -> None:
    assert bench("main", data, "--only", "random").exit_code == 0
    (path,) = (data.parent / "to").glob("arms/random/*/rounds.jsonl")
    first, _, third = path.read_text().splitlines(keepends=True)
    path.write_text(first + "{}\n" + third)
    again = bench("main", data, "--only", "random")
    assert "random, seed 0: 2 damaged lines" in again.output
    assert arms(data) == {"random": [(0, 1), (0, 2), (0, 3)]}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--preset", "fast"), "There is no preset 'fast'. There are honest, paper, released-code, quick."),
        (("--only", "psychic"), "main has no arm 'psychic'. It has random, PT4AL"),
        (("--settings", "[1]"), "--settings is [1], not an object."),
        (("--settings", "{"), "--settings is not JSON"),
        (("--settings", '{"seed": 3}'), "'seed' is not one of --settings here. All arms are run with the seeds that --seeds"),
        (("--settings", '{"strategies": 1}'), "Unknown setting 'strategies'"),
        (("--settings", '{"query_size": 30, "rounds": 3}'), "40 usable images are too few for 3 rounds of 30"),
        (("--dataset", "psychic"), "There is no data set 'psychic'"),
        (("--dataset", "camvid"), "The data set 'camvid' is one of segmentation, and this is about classification"),
        (("--dataset", "folder", "--masks", "masks"), "The data set 'folder' is one of segmentation"),
        (("--settings", '{"rounds": [4]}'), "Setting 'rounds': [4] is not allowed. Input should be a valid integer."),
        (("--settings", '{"rounds": 2.5}'), "Setting 'rounds': 2.5 is not allowed."),
        (("--settings", '{"query_size": "few"}'), "Setting 'query_size': 'few' is not allowed."),
        (("--settings", '{"image_size": [1]}'), "Setting 'image_size': [1] is not allowed."),
        (("--pool", 99_999), "The pool has 60 images, fewer than 99999"),
        (("--device", "tpu"), "There is no device 'tpu'. There are auto, cpu, cuda."),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_impossible_experiments_are_refused(data: Path, arguments: tuple[Any, ...], problem: str) -> None:
    refused = bench("main", data, *arguments)
    assert refused.exit_code == 1
    assert problem in refused.stderr
    assert "Label Studio" not in refused.stderr
    assert not (data.parent / "to" / "arms").exists()


@pytest.mark.parametrize("rounds", ["4", 4.0])
def test_settings_are_read_as_the_live_engine_reads_them(data: Path, rounds: object) -> None:
    given = json.dumps({**json.loads(FAST), "rounds": rounds, "image_size": "16"})
    done = bench("main", data, "--only", "random", "--settings", given)
    assert done.exit_code == 0, done.output
    assert arms(data) == {"random": [(0, 1), (0, 2), (0, 3), (0, 4)]}


def test_a_preset_takes_what_there_is_of_a_smaller_data_set(data: Path) -> None:
    small = ("main", data.parent / "to", "--dataset", "cifar10-jpeg", "--data", data, "--preset", "quick", "--device", "cpu")
    done = CliRunner().invoke(cli.app, ["bench", *map(str, small), "--settings", FAST, "--time-limit", "1e-9"])
    assert done.exit_code == 0, done.output
    assert "60 images for the pool, 20 for the test. That is all there is: the preset takes 5,000" in done.output
    refused = CliRunner().invoke(cli.app, ["bench", *map(str, small), "--settings", '{"image_size": 16}'])
    assert refused.exit_code == 1
    assert "60 usable images are too few for 4 rounds of 100; 1 of 60 would fit. Lower rounds or query_size" in refused.stderr


IMAGENET = [f"{rule}, imagenet" for rule in ("random", "PT4AL", "margin", "typiclust")]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (
            {},
            "fit networks of width 64 (the setting 'width', 16 on a CPU unless set) on images above 64 pixels; "
            "here images have 16 x 16.",
        ),
        ({"image_size": 72, "width": 64}, "switched off (PT4AL_PRETRAINED=off)"),
    ],
)
def test_arms_whose_initial_weights_cannot_be_had_are_left_out(
    data: Path, settings: Json, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PT4AL_PRETRAINED", "off")
    given = ("--settings", json.dumps({**json.loads(FAST), **settings}), "--time-limit", 1e-9)
    begun = bench("initial-weights", data, *given)
    assert begun.exit_code == 0, begun.output
    assert f"Left out: {', '.join(map(repr, IMAGENET))}." in begun.output
    assert reason in begun.output
    names = {path.name for path in (data.parent / "to" / "arms").iterdir()}
    assert names == {arm.name for arm in EXPERIMENTS["initial-weights"].arms} - {*IMAGENET}


def test_arms_with_available_initial_weights_are_run(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pt4al_backend.learn.weights.imagenet.load", lambda *_: {})
    given = ("--settings", json.dumps({**json.loads(FAST), "image_size": 72, "width": 64}), "--time-limit", 1e-9)
    begun = bench("initial-weights", data, *given)
    assert "Left out" not in begun.output
    assert {path.name for path in (data.parent / "to" / "arms").iterdir()} >= {*IMAGENET}


def test_an_arm_that_was_named_is_refused_where_its_initial_weights_cannot_be_had(data: Path) -> None:
    refused = bench("initial-weights", data, "--only", "random", "--only", "random, imagenet")
    assert refused.exit_code == 1
    assert "There are no initial weights for 'random, imagenet'. ImageNet's weights fit" in refused.stderr
    assert not (data.parent / "to" / "arms").exists()


def test_a_comparison_of_which_no_arm_can_start_is_refused(data: Path) -> None:
    refused = bench("main", data, "--settings", json.dumps({**json.loads(FAST), "init": "imagenet"}))
    assert refused.exit_code == 1
    assert "There are no initial weights for 'random', 'PT4AL'" in refused.stderr
    assert not (data.parent / "to" / "arms").exists()


def test_segmentation_is_refused_where_images_have_a_class_each(data: Path) -> None:
    refused = bench("segmentation", data)
    assert refused.exit_code == 1
    assert "The data set 'cifar10-jpeg' is one of classification, and this is about segmentation" in refused.stderr
    assert not (data.parent / "to").exists()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a/b={}", "cannot be named 'a/b'"),
        ("={}", "cannot be named ''"),
        ("a={", "not JSON"),
        ("a=3", "no object"),
        ('a={"seed": 3}', "'seed' is not an arm's"),
        (f"{'a' * 51}={{}}", "name of an arm is too long"),
        (f"{'猫' * 17}={{}}", "name of an arm is too long"),
        ("a\nb={}", r"cannot be named 'a\\nb'"),
        ("a\udcff={}", r"cannot be named 'a\\udcff'"),
        ('a={"order": "size"}', "there is no order 'size'"),
        ('a={"order": ["text"]}', r"'order' is \['text'\], which is not text"),
        ('a={"weights": 1}', "'weights' is 1, which is not text"),
        ('a={"weights": "nonsense"}', "no weights of 'nonsense'"),
        ('a={"blind": "false"}', "'blind' is 'false', which is not true or false"),
        ('a={"best_epoch": 0}', "'best_epoch' is 0, which is not true or false"),
    ],
)
def test_contradictory_arm_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Arm.parse(text)


@pytest.mark.parametrize("words", ["{", "[]"])
def test_damaged_description_is_refused_before_decoding(data: Path, words: str) -> None:
    to = data.parent / "to"
    to.mkdir()
    (to / "experiment.json").write_text(words)
    refused = bench("main", data, "--only", "random")
    assert refused.exit_code == 1
    assert "experiment.json" in refused.stderr
    assert [path.name for path in to.iterdir()] == ["experiment.json"]


def test_a_description_without_commands_gets_this_one(data: Path) -> None:
    to = data.parent / "to"
    to.mkdir()
    (to / "experiment.json").write_text("{}")
    assert bench("cold-start", data, "--only", "random").exit_code == 0
    assert set(json.loads((to / "experiment.json").read_text())) == {"title", "command"}
