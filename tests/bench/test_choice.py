"""The rule for the defaults, on runs that are written by hand."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pt4al_backend import cli
from pt4al_backend.bench.choice import choose, standings
from pt4al_backend.bench.results import Results
from pt4al_backend.errors import ConfigError
from tests.support import runs

RANDOM = [0.40, 0.50, 0.60]
PT4AL = {"strategy": "pt4al", "batches": 2, "rounds": 10}


def comparison(folder: Path, gains: Mapping[str, Sequence[float]], **settings: Mapping[str, object]) -> Results:
    """Three seeds of each arm, whose rounds are above those of random by its ``gains``, give or take the seed's."""
    for arm, above in {"random": [0.0] * 3, **gains}.items():
        for seed in range(3):
            values = [value + 0.001 * seed * (arm != "random") + more for value, more in zip(RANDOM, above, strict=True)]
            own = {"settings": {"seed": seed, "query_size": 10, **settings.get(arm, {})}}
            runs.write(folder, {arm: {seed: values}}, **own)
    return Results.read(folder, "random")


def chosen(*comparisons: Results) -> str:
    return choose(standings(comparisons)).arm


def test_arm_that_is_below_random_at_one_label_count_of_one_comparison_is_out(tmp_path: Path) -> None:
    first = comparison(tmp_path / "a", {"good": [0.1, 0.1, 0.1], "safe": [0.02, 0.02, 0.02]})
    second = comparison(tmp_path / "b", {"good": [0.2, -0.05, 0.2], "safe": [0.02, 0.02, 0.02]})
    assert chosen(first) == "good"
    assert chosen(first, second) == "safe"


def test_the_largest_mean_area_is_chosen(tmp_path: Path) -> None:
    first = comparison(tmp_path / "a", {"one": [0.10] * 3, "other": [0.02] * 3})
    second = comparison(tmp_path / "b", {"one": [0.02] * 3, "other": [0.20] * 3})
    assert chosen(first, second) == "other"


@pytest.mark.parametrize(("lead", "name"), [(0.004, "batches"), (0.02, "whole")])
def test_batches_are_kept_where_areas_are_within_half_a_point(tmp_path: Path, lead: float, name: str) -> None:
    found = comparison(tmp_path, {"whole": [0.1 + lead] * 3, "batches": [0.1] * 3}, batches=PT4AL)
    assert chosen(found) == name


def test_random_is_chosen_where_all_others_are_below_it(tmp_path: Path) -> None:
    assert chosen(comparison(tmp_path, {"bad": [-0.1, 0.3, 0.3]})) == "random"


def test_arm_that_a_comparison_lacks_is_not_compared(tmp_path: Path) -> None:
    first = comparison(tmp_path / "a", {"one": [0.1] * 3, "other": [0.2] * 3})
    second = comparison(tmp_path / "b", {"one": [0.1] * 3})
    assert chosen(first, second) == "one"


def test_comparison_without_random_is_refused(tmp_path: Path) -> None:
    runs.write(tmp_path, {"margin": {0: [0.5, 0.6]}})
    with pytest.raises(ConfigError, match="no two label counts"):
        standings([Results.read(tmp_path, "random")])


def test_the_command_prints_what_the_rule_decides(tmp_path: Path) -> None:
    comparison(tmp_path, {"batches": [0.1] * 3}, batches={**PT4AL, "first_query": "herding"})
    done = CliRunner().invoke(cli.app, ["bench", "choose", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "The rule chooses 'batches': " in done.output
    decided = json.loads(done.output.split("'batches': ")[1])
    assert (decided["strategy"], decided["first_query"], decided["batches"]) == ("pt4al", "herding", 2)
