"""``pt4al bench report`` on folders of runs."""

import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

from pt4al_backend import cli
from pt4al_backend.bench import costs
from pt4al_backend.bench.arms import LONGEST
from pt4al_backend.bench.records import read
from tests.support import runs

SEEDS = range(3)
ARMS = {
    "random": {seed: [0.5, 0.6 + seed / 100, 0.7] for seed in SEEDS},
    "PT4AL <$x^2$ & más>": {seed: [0.4, 0.62 + seed / 90, 0.8] for seed in SEEDS},
    "margin": {seed: [0.5, 0.65] for seed in SEEDS},
}
FIGURES = ("values", "differences", "wins", "seconds", "balance")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three arms on a data set of two classes, whose queries hold three images of the first and one of the second."""
    runs.write_classes(tmp_path, ["cat", "cat", "cat", "dog"] * 11, 40)
    return runs.write(tmp_path, ARMS, step=4)


def report(folder: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, ["bench", "report", str(folder), *arguments])
    return result.exit_code, runs.unpadded(result.output)


def written(folder: Path, *arguments: str) -> str:
    code, output = report(folder, *arguments)
    assert code == 0, output
    return runs.unpadded((folder / "report" / "report.md").read_text())


def test_figures_are_drawn_embedded_and_name_every_arm(folder: Path) -> None:
    text = written(folder)
    for name in FIGURES:
        assert f"({name}.png)" in text
        assert (folder / "report" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        words = "\n".join(ElementTree.parse(folder / "report" / f"{name}.svg").getroot().itertext())
        assert all(arm in words for arm in ARMS if not (name == "differences" and arm == "random"))


def test_arms_that_are_named_are_shown_alone(folder: Path) -> None:
    text = written(folder, "--no-figures", "--arm", "random", "--arm", "margin")
    assert "| margin |" in text
    assert "PT4AL" not in text
    assert report(folder, "--no-figures", "--arm", "psychic")[0] == 1


def test_balanced_accuracy_is_shown_where_it_was_measured(folder: Path) -> None:
    assert "## Balanced accuracy" not in written(folder)
    runs.write(folder, {"random": {seed: [0.5, 0.6, 0.7] for seed in SEEDS}}, step=4, balanced=0.25)
    text = written(folder)
    table = text.split("## Balanced accuracy")[1].split("## ")[0]
    assert "| random | 25.0 ± 0.0 (3) |" in table
    assert "(balanced.png)" in table
    assert "| random | ≤ 4 (3) |" in text.split("## Labels saved by balanced accuracy")[1]


def test_the_same_records_give_the_same_bytes(folder: Path) -> None:
    def files() -> dict[str, bytes]:
        written(folder)
        return {path.name: path.read_bytes() for path in (folder / "report").iterdir()}

    assert files() == files()


def test_the_baseline_comes_first_and_numbers_in_names_count_as_such(tmp_path: Path) -> None:
    arms = {name: {0: [0.5, 0.6]} for name in ("batch 10", "batch 2", "Batch 1", "random")}
    lines = written(runs.write(tmp_path, arms), "--no-figures").splitlines()
    rows = [line.split("|")[1].strip() for line in lines if "(1)" in line]
    assert rows[:4] == ["random", "Batch 1", "batch 2", "batch 10"]


def test_more_arms_than_a_plot_holds_have_a_panel_each(tmp_path: Path) -> None:
    arms = {f"arm {index}": {0: [0.5, 0.6]} for index in range(6)}
    written(runs.write(tmp_path, {"random": {0: [0.5, 0.6]}, **arms}))
    for name in ("values", "differences"):
        words = [each.strip() for each in ElementTree.parse(tmp_path / "report" / f"{name}.svg").getroot().itertext()]
        assert all(words.count(arm) == 1 for arm in arms)


def test_the_longest_name_of_an_arm_leaves_room_for_every_figure(tmp_path: Path) -> None:
    longest = "m" * LONGEST
    for rounds in (1, 2):
        curves = {seed: [0.5 + seed / 50, 0.6][:rounds] for seed in range(3)}
        folder = runs.write(tmp_path / str(rounds), {longest: curves, "random": {seed: [0.4, 0.5][:rounds] for seed in range(3)}})
        written(folder)  # a figure without room warns, which fails here
        assert longest in "\n".join(ElementTree.parse(folder / "report" / "values.svg").getroot().itertext())


def test_at_one_number_of_labels_every_arm_has_a_row_with_its_seeds(tmp_path: Path) -> None:
    arms = {f"arm {k}": {seed: [0.5 + k / 100 + seed / 50] for seed in range(4)} for k in range(8)}
    folder = runs.write(tmp_path, {"random": {seed: [0.4 + seed / 50] for seed in range(4)}, **arms})
    written(folder)
    groups = ElementTree.parse(folder / "report" / "values.svg").getroot().iter("{http://www.w3.org/2000/svg}g")
    rows = ["".join(group.itertext()).strip() for group in groups if group.get("id", "").startswith("ytick")]
    assert rows == ["random", *arms]


def test_the_balance_of_queries_is_by_the_classes_of_the_data_set(folder: Path) -> None:
    text = written(folder, "--no-figures")
    assert "| random | 0.81 ± 0.00 (1 to 3) |" in text
    assert "The whole pool has 0.81" in text


def test_a_query_of_images_that_the_pool_lacks_is_corrupt(folder: Path) -> None:
    runs.write(folder, {"stray": {0: [0.5], 1: [0.5]}}, step=2)
    runs.write(folder, {"stray": {0: [0.5]}}, step=2, query=[0, 99])
    text = written(folder, "--no-figures")
    assert "Corrupt lines, left out: 1, in arms/stray/seed-0/rounds.jsonl (1)." in text
    assert "| stray | 50.0 (1) |" in text


def test_without_the_data_set_balance_is_left_out(tmp_path: Path) -> None:
    assert "Balance" not in written(runs.write(tmp_path, ARMS), "--no-figures")


def test_without_figures_none_is_drawn_or_embedded(folder: Path) -> None:
    assert ".png" not in written(folder, "--no-figures")
    assert [path.name for path in (folder / "report").iterdir()] == ["report.md"]


def test_without_matplotlib_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, output = report(folder)
    assert code == 1
    assert "pip install 'pt4al-backend[bench]'" in output
    assert report(folder, "--no-figures")[0] == 0


def test_corrupt_lines_are_reported_beside_the_tables(folder: Path) -> None:
    path = runs.write_rounds(folder, "margin", 0, [runs.record(0, 1, 10, 0.5)])
    path.write_text(path.read_text() + "{\n{\n")
    warning = "Corrupt lines, left out: 2, in arms/margin/seed-0/rounds.jsonl (2)."
    assert warning in report(folder, "--no-figures")[1]
    assert warning in written(folder, "--no-figures")


def test_notes_are_reported_beside_the_tables(folder: Path) -> None:
    note = "The learner knows no orientation. The batches are drawn at random."
    runs.write_rounds(folder, "pt4al", 0, [{**runs.record(0, number, 10 * number, 0.5), "notes": [note]} for number in (1, 2)])
    row = f"| pt4al | {note} | 2 | 1 |"
    assert row in report(folder, "--no-figures")[1]
    assert row in written(folder, "--no-figures")


def test_seeds_of_other_settings_are_not_averaged(folder: Path) -> None:
    made = {"settings": {"query_size": 10, "epochs": 1, "seed": 3}}
    runs.write_rounds(folder, "margin", 3, [runs.record(3, 1, 4, 0.5, **made)])
    assert report(folder, "--no-figures")[0] == 0  # those before had no such setting
    made = {"settings": {"query_size": 10, "epochs": 2, "seed": 4}, "arm": {"blind": True}}
    runs.write_rounds(folder, "margin", 4, [runs.record(4, 1, 4, 0.5, **made)])
    code, output = report(folder, "--no-figures")
    assert code == 1
    assert "Seed 4 of 'margin' was run with other settings than those before it: blind True and not None, epochs 2 and" in output


def test_a_folder_of_corrupt_lines_only_has_no_report(tmp_path: Path) -> None:
    runs.write_rounds(tmp_path, "random", 0, []).write_text("{\n")
    code, output = report(tmp_path)
    assert code == 1
    assert "no finished rounds" in output
    assert "1 corrupt lines" in output


def test_the_printed_tables_are_values_and_differences(folder: Path) -> None:
    _, output = report(folder, "--no-figures")
    assert "| margin | 50.0 ± 0.0 (3) | 65.0 ± 0.0 (3) |" in output
    assert "+10.0 ± 0.0 (3)" in output
    assert "report.md" in output


def test_absent_baseline_is_reported_and_all_else_shown(folder: Path) -> None:
    shutil.rmtree(folder / "arms" / "random")
    text = written(folder, "--no-figures")
    assert "No arm is named 'random'" in text
    assert "## Wins" in text
    assert "## Area" not in text


def test_one_seed_is_shown_without_deviation_test_or_matrix(tmp_path: Path) -> None:
    text = written(runs.write(tmp_path, {"random": {0: [0.5, 0.6]}, "margin": {0: [0.4, 0.7]}}))
    assert "| margin | 40.0 (1) | 70.0 (1) |" in text
    assert "| margin | -10.0 (1) | +10.0 (1) |" in text
    assert "## Wins" not in text


def test_report_names_command_settings_and_versions(folder: Path) -> None:
    (folder / "experiment.json").write_text('{"title": "Digits", "command": "pt4al bench run there"}')
    text = written(folder, "--no-figures")
    assert text.startswith("# Digits\n\n```sh\npt4al bench run there\n```")
    assert "Trained on cpu, with pt4al-backend 0.1.0 and torch 2.15.0" in text
    assert 'Settings of all arms, beside the defaults: `{"query_size": 10}`' in text
    assert "| margin | 0, 1, 2 | 2 | `{}` |" in text


def test_report_names_processors_and_gpus(folder: Path) -> None:
    for seed, (device, machine) in enumerate((("cuda", "NVIDIA H200"), ("cpu", "Xeon"), ("cuda", "NVIDIA H200"))):
        runs.write_rounds(folder, "core-set", seed, [runs.record(seed, 1, 4, 0.5, device=device, machine=machine)])
    assert "Trained on cpu, cpu (Xeon), cuda (NVIDIA H200), with pt4al-backend" in written(folder, "--no-figures")


@pytest.mark.parametrize("words", ["{", "[]"])
def test_a_damaged_description_is_named(folder: Path, words: str) -> None:
    (folder / "experiment.json").write_text(words)
    code, output = report(folder)
    assert code == 1
    assert "experiment.json" in output


def test_rounds_without_a_test_have_seconds_only(tmp_path: Path) -> None:
    runs.write_rounds(tmp_path, "random", 0, [runs.record(0, 1, 10, None)])
    text = written(tmp_path, "--no-figures")
    assert "## Seconds" in text
    assert "## Values" not in text


def test_seconds_are_of_runs_that_have_the_rounds_all_arms_have(tmp_path: Path) -> None:
    values = {"random": {0: [0.5, 0.6, 0.7], 1: [0.5]}, "margin": {0: [0.5, 0.6]}}
    arms = read(runs.write(tmp_path, values)).arms
    assert costs.common_rounds(arms) == 2
    total = {part: seconds if part == costs.RANK else 2 * seconds for part, seconds in runs.SECONDS.items()}
    assert costs.seconds({"random": arms["random"]}, 2).to_dict("index") == {("random", 0): total}


def test_curves_of_few_seeds_show_each(tmp_path: Path) -> None:
    def paths(seeds: int) -> int:
        rng = np.random.default_rng(0)
        folder = runs.write(tmp_path / str(seeds), {"random": {seed: rng.uniform(0, 1, 3).tolist() for seed in range(seeds)}})
        written(folder)
        groups = ElementTree.parse(folder / "report" / "values.svg").getroot().iter("{http://www.w3.org/2000/svg}g")
        return sum(each.get("id", "").startswith("FillBetween") for each in groups)

    assert [paths(2), paths(3)] == [0, 1]
