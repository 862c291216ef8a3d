"""``pt4al bench``: which data set a run is of."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pt4al_backend import cli
from pt4al_backend.bench import command
from pt4al_backend.bench.options import Chosen
from pt4al_backend.bench.oracle import Run
from pt4al_backend.bench.records import read
from pt4al_backend.bench.report import EXPERIMENT
from pt4al_backend.bench.truth import Truth
from pt4al_backend.config.catalog import DATASETS
from pt4al_backend.datasets.loader import Loader
from pt4al_backend.ops import terminal
from pt4al_backend.progress import Report, silent
from tests.support.dataset_trees import TREES
from tests.support.runs import write

FAST = '{"pretext_epochs": 1, "epochs": 1, "query_size": 4, "width": 8, "image_size": 32}'
ARM = 'random={"strategy": "random"}'


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["bench", *map(str, arguments)])


def run(to: Path, *arguments: object) -> Result:
    return bench("run", to, "--arm", ARM, "--settings", FAST, "--rounds", 1, "--seeds", 1, "--device", "cpu", *arguments)


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal.err, "width", 250)


def test_run_uses_exactly_the_requested_part_of_the_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TREES["cifar10-jpeg"](tmp_path / "given", monkeypatch)
    options: tuple[Any, ...] = ("--dataset", "cifar10-jpeg", "--data", tmp_path / "given", "--pool", 40)
    done = run(tmp_path / "to", *options)
    assert done.exit_code == 0, done.output
    assert "lossy" in done.output
    assert "4 labels" in done.output
    truth = Truth.load(tmp_path / "to" / "data")
    assert (truth.pool, len(truth.test)) == (40, 20)
    again = run(tmp_path / "to", *options, "--test", 10)
    assert again.exit_code == 1
    assert "another data set" in again.stderr
    assert "another output folder" in again.stderr


def test_a_data_set_that_nothing_was_run_on_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TREES["cifar10-jpeg"](tmp_path / "given", monkeypatch)
    options: tuple[Any, ...] = ("--dataset", "cifar10-jpeg", "--data", tmp_path / "given")
    refused = run(tmp_path / "to", *options, "--pool", 10, "--rounds", 3)
    assert refused.exit_code == 1
    assert "10 usable images are too few for 3 rounds of 4" in refused.stderr
    assert run(tmp_path / "to", *options, "--pool", 40).exit_code == 0
    assert Truth.load(tmp_path / "to" / "data").pool == 40


@pytest.mark.slow
def test_figures_that_were_drawn_before_follow_new_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TREES["cifar10-jpeg"](tmp_path / "given", monkeypatch)
    options: tuple[Any, ...] = ("--dataset", "cifar10-jpeg", "--data", tmp_path / "given")
    report, figure = tmp_path / "to" / "report" / "report.md", tmp_path / "to" / "report" / "values.svg"
    assert run(tmp_path / "to", *options).exit_code == 0
    assert "values.png" not in report.read_text()
    assert bench("report", tmp_path / "to").exit_code == 0
    drawn = figure.read_bytes()
    assert run(tmp_path / "to", *options, "--seeds", 2).exit_code == 0
    assert "values.png" in report.read_text()
    assert figure.read_bytes() != drawn


def test_seconds_of_the_ranking_are_printed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TREES["cifar10-jpeg"](tmp_path / "given", monkeypatch)
    rounds = Run.__call__

    def slow(self: Run, count: int, report: Report = silent) -> Iterator[dict[str, Any]]:
        for record in rounds(self, count, report):
            yield {**record, "seconds": {**record["seconds"], "rank": 1e6}}

    monkeypatch.setattr(Run, "__call__", slow)
    done = run(tmp_path / "to", "--dataset", "cifar10-jpeg", "--data", tmp_path / "given", "--rounds", 2)
    printed = [int(line.split(", ")[-1].removesuffix(" s")) for line in done.output.splitlines() if " labels, " in line]
    assert [seconds >= 1e6 for seconds in printed] == [True, False]


@pytest.mark.slow
def test_a_time_limit_in_the_middle_of_trainings_changes_no_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TREES["cifar10-jpeg"](tmp_path / "given", monkeypatch)
    options: tuple[Any, ...] = ("--dataset", "cifar10-jpeg", "--data", tmp_path / "given")
    options += ("--arm", 'PT4AL={"epochs": 8}', "--arm", 'best={"epochs": 8, "best_epoch": true}')
    assert run(tmp_path / "whole", *options).exit_code == 0
    ticks = itertools.count()
    monkeypatch.setattr(command, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    outputs = [run(tmp_path / "parts", *options, "--time-limit", 9).output for _ in range(9)]
    left = ["the same command continues from here" in each for each in outputs]
    assert left == sorted(left, reverse=True)
    assert (left[0], left[-1]) == (True, False)
    whole, parts = (read(tmp_path / name).arms for name in ("whole", "parts"))
    assert {arm: [(each.value, each.query) for each in rounds] for arm, rounds in parts.items()} == {
        arm: [(each.value, each.query) for each in rounds] for arm, rounds in whole.items()
    }


def test_without_matplotlib_new_runs_are_reported_without_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TREES["cifar10-jpeg"](tmp_path / "given", monkeypatch)
    (tmp_path / "to" / "report").mkdir(parents=True)
    (tmp_path / "to" / "report" / "values.svg").touch()
    monkeypatch.setattr("pt4al_backend.bench.figures.drawable", lambda: False)
    done = run(tmp_path / "to", "--dataset", "cifar10-jpeg", "--data", tmp_path / "given")
    assert done.exit_code == 0, done.output
    assert "values.png" not in (tmp_path / "to" / "report" / "report.md").read_text()


def test_missing_data_set_is_reported_with_its_source(tmp_path: Path) -> None:
    refused = run(tmp_path / "to", "--dataset", "cityscapes", "--data", tmp_path)
    assert refused.exit_code == 1
    assert f"There is no {tmp_path / 'leftImg8bit'}" in refused.stderr
    assert "https://www.cityscapes-dataset.com" in refused.stderr


def test_round_with_labels_of_one_class_is_reported_untested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TREES["cifar10-jpeg"](tmp_path / "given", monkeypatch)
    one = FAST.replace('"query_size": 4', '"query_size": 1')
    done = run(tmp_path / "to", "--dataset", "cifar10-jpeg", "--data", tmp_path / "given", "--settings", one)
    assert done.exit_code == 0, done.output
    assert "random, seed 0: 1 labels, not tested" in done.output


def test_any_refusal_comes_before_the_first_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TREES["cifar10-jpeg"](tmp_path / "given", monkeypatch)
    data = ("--dataset", "cifar10-jpeg", "--data", tmp_path / "given")
    assert run(tmp_path / "to", *data).exit_code == 0
    longer = FAST.replace('"epochs": 1', '"epochs": 2')
    common = (tmp_path / "to", "--arm", "new={}", "--arm", ARM, "--rounds", 1, "--device", "cpu", *data)
    refused = bench("run", *common, "--settings", longer, "--seeds", 1, "--first-seed", 5)
    assert refused.exit_code == 1
    assert "run with other settings: epochs 1 and not 2" in refused.stderr
    assert not (tmp_path / "to" / "arms" / "new").exists()


def test_arms_of_one_name_are_refused_before_anything_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TREES["cifar10-jpeg"](tmp_path / "given", monkeypatch)
    refused = run(tmp_path / "to", "--dataset", "cifar10-jpeg", "--data", tmp_path / "given", "--arm", "random={}")
    assert refused.exit_code == 1
    assert "More than one arm is named 'random'" in refused.stderr
    assert not (tmp_path / "to").exists()


def test_arms_of_different_image_sizes_are_refused_as_they_share_one_set_of_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    TREES["cifar10-jpeg"](tmp_path / "given", monkeypatch)
    own = 'small={"image_size": 16}'
    refused = run(tmp_path / "to", "--dataset", "cifar10-jpeg", "--data", tmp_path / "given", "--arm", own)
    assert refused.exit_code == 1
    assert "The arms differ in image_size (16, 32)" in refused.stderr
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        ('own={"image_size": [1]}', "Setting 'image_size': [1] is not allowed. Input should be a valid integer."),
        ('own={"epochs": "many"}', "Setting 'epochs': 'many' is not allowed."),
        ('own={"strategy": "magic"}', "Setting 'strategy': 'magic' is not allowed"),
        ('own={"init": "imagenet"}', "There are no initial weights for 'own'. ImageNet's weights fit"),
    ],
)
def test_unsuitable_arm_is_refused_before_any_runs(
    tmp_path: Path, own: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    TREES["cifar10-jpeg"](tmp_path / "given", monkeypatch)
    refused = run(tmp_path / "to", "--dataset", "cifar10-jpeg", "--data", tmp_path / "given", "--arm", own)
    assert refused.exit_code == 1
    assert problem in refused.stderr
    assert "Label Studio" not in refused.stderr
    assert not (tmp_path / "to" / "arms").exists()


def test_commands_that_share_a_folder_are_all_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one is noted while this one decodes."""
    TREES["cifar10-jpeg"](tmp_path / "given", monkeypatch)
    file, decode = tmp_path / "to" / EXPERIMENT, Chosen.truth

    def meanwhile(chosen: Chosen) -> Truth:
        truth = decode(chosen)
        file.write_text(json.dumps({"title": "runs", "command": "pt4al the other"}))
        return truth

    monkeypatch.setattr(Chosen, "truth", meanwhile)
    monkeypatch.setattr("sys.argv", ["pt4al", "this one"])
    done = run(tmp_path / "to", "--dataset", "cifar10-jpeg", "--data", tmp_path / "given", "--time-limit", 1e-9)
    assert done.exit_code == 0, done.output
    assert json.loads(file.read_text())["command"].splitlines() == ["pt4al the other", "pt4al 'this one'"]


def test_a_baseline_that_was_named_has_to_be_there(tmp_path: Path) -> None:
    write(tmp_path, {"PT4AL": {0: [0.5]}, "margin": {0: [0.6]}})
    refused = bench("report", tmp_path, "--no-figures", "--baseline", "foo")
    assert refused.exit_code == 1
    assert "No arm is named 'foo'. There are 'margin', 'PT4AL'." in refused.stderr
    assert not (tmp_path / "report").exists()
    assert bench("report", tmp_path, "--no-figures").exit_code == 0
    assert bench("report", tmp_path, "--no-figures", "--baseline", "margin").exit_code == 0


def test_unsuitable_strategy_is_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TREES["camvid"](tmp_path / "CamVid", monkeypatch)
    refused = run(tmp_path / "to", "--dataset", "camvid", "--data", tmp_path, "--arm", 'BADGE={"strategy": "badge"}')
    assert refused.exit_code == 1
    assert "needs posteriors" in refused.stderr
    assert not (tmp_path / "to").exists()


def test_each_data_set_is_listed_with_where_to_get_it_and_how_it_has_to_look() -> None:
    shown = bench("datasets").output
    for name in DATASETS:
        loader = DATASETS.load(name, Loader)()
        assert f"\n{name}: {loader.about}\n" in f"\n{shown}"
        assert loader.origin in shown
        assert all(line in shown for line in loader.layout)
