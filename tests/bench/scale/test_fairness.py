"""The row about many projects on few workers, with real worker processes."""

from pathlib import Path

import pytest

from pt4al_backend.bench.numbers.workbench import Sizes, Workbench
from pt4al_backend.bench.scale import fairness


def test_every_project_gets_its_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fairness, "PROJECTS", 3)
    monkeypatch.setattr(fairness, "TASKS", 60)
    monkeypatch.setattr(fairness, "BURSTS", 1)
    with Workbench(Path("unused"), Sizes()) as bench:
        longest, ratio = fairness.measure(bench)
    assert "3 projects of 60 tasks" in longest.what
    assert longest.value > 0
    assert longest.note.startswith("n = 3,")
    assert 1 <= ratio.value <= 3
