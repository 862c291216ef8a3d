"""The row about the neighbours of many, at a size that takes a moment."""

from pathlib import Path

import pytest

from pt4al_backend import neighbour_index
from pt4al_backend.bench.numbers.workbench import Sizes, Workbench
from pt4al_backend.bench.scale import neighbours


def test_seconds_and_the_share_that_is_found_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbour_index, "EXACT", 500)
    monkeypatch.setattr(neighbours, "POINTS", 2_000)
    with Workbench(Path("unused"), Sizes()) as bench:
        took, share, twins = neighbours.measure(bench)
    assert "2,000 points" in took.what
    assert 50 < share.value <= 100
    assert 90 < twins.value <= 100
