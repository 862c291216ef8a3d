"""The simulation that says how often forecast and stop advice are right."""

from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from pt4al_backend import cli
from pt4al_backend.analysis.advice import Verdict
from pt4al_backend.bench.forecast import Project, outcome, projects, simulated


def steep(labels: np.ndarray) -> np.ndarray:
    return 1 - 0.9 * (labels / 100) ** -0.5


def test_simulated_curve_is_measured_on_all_control_picks_so_far() -> None:
    points = simulated(Project("steep", steep, (100, 200, 300), 40), np.random.default_rng(0))
    assert [(point.labels, point.picks) for point in points] == [(100, 40), (200, 80), (300, 120)]
    assert all(float(point.value * point.picks).is_integer() or abs(point.value * point.picks % 1) < 1e-9 for point in points)


def test_simulated_picks_are_right_as_often_as_the_curve_says() -> None:
    points = simulated(Project("steep", steep, (400, 900), 4000), np.random.default_rng(0))
    assert [abs(point.value - steep(np.array(point.labels))) < 0.05 for point in points] == [True, True]


def test_advice_is_judged_by_the_true_curve() -> None:
    rng = np.random.default_rng(0)
    rising = outcome(Project("steep", steep, (100, 200, 300, 400), 400), rng)
    assert (rising.verdict, rising.is_right) == (Verdict.GO_ON, True)
    level = Project("level", lambda labels: np.full(labels.shape, 0.95), tuple(range(100, 2100, 100)), 100)
    assert outcome(level, rng).is_right is not False


def test_seed_gives_the_same_projects_and_another_seed_others() -> None:
    labels = np.array([150.0])
    first, again, other = ([each.truth(labels).item() for each in projects(seed)] for seed in (1, 1, 2))
    assert first == again != other


def test_command_writes_the_report(tmp_path: Path) -> None:
    found = CliRunner().invoke(cli.app, ["bench", "forecast", str(tmp_path / "out"), "--seeds", "1"])
    assert found.exit_code == 0, found.output
    text = (tmp_path / "out" / "report" / "forecast.md").read_text()
    for words in ("By the kind of curve", "By control picks", "| power law", "| measured", "more than 200"):
        assert words in text
    assert "nan" not in text
