"""The row about herding many features, at a size that takes a moment."""

from pathlib import Path

import pytest

from pt4al_backend.bench.numbers.workbench import Sizes, Workbench
from pt4al_backend.bench.scale import herding


def test_seconds_memory_and_what_parts_lose_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(herding, "IMAGES", 2_500)
    monkeypatch.setattr(herding, "WIDTH", 8)
    monkeypatch.setattr(herding, "COMPARED", 500)
    monkeypatch.setattr(herding, "QUERY", 20)
    monkeypatch.setattr(herding, "MOST_HERDED", 100)
    with Workbench(Path("unused"), Sizes()) as bench:
        took, coverage = herding.measure(bench)
    assert took.value > 0
    assert "MB at most beside the file" in took.note
    assert 80 < coverage.value <= 101
