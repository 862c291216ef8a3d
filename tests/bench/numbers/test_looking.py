"""The rows about a look: each pool has one, from a worker that takes over labels."""

from pathlib import Path

import pytest

from pt4al_backend.bench.numbers import looking
from pt4al_backend.bench.numbers.workbench import Sizes, Workbench


def test_each_pool_has_a_row_of_its_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "POOLS", (60,))
    monkeypatch.setattr(looking, "LOOKS", 2)
    with Workbench(Path("unused"), Sizes()) as bench:
        look, memory = looking.measure(bench)
    assert look.what == "a look that finds one label, at 60 tasks: CPU"
    assert look.value > 0
    assert memory.value == 1.0
