"""The rows about querying: each strategy that compares images, at the sizes that a project of that many tasks gets."""

from pathlib import Path

import pytest

from pt4al_backend.bench.numbers import querying
from pt4al_backend.bench.numbers.workbench import Sizes, Workbench


def test_every_strategy_that_compares_images_has_a_row_with_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(querying, "POOL", 600)
    monkeypatch.setattr(querying, "LABELLED", 20)
    with Workbench(Path("unused"), Sizes()) as bench:
        notes = {line.what.removeprefix("querying 600 tasks, "): line.note for line in querying.measure(bench)}
    assert {"pt4al, margin", "pt4al, k_center", "core_set", "badge", "typiclust", "herding", "drop_query"} <= notes.keys()
    assert notes["core_set"].startswith("40 of 600 candidates, 512 features, at most ")
    assert notes["pt4al, k_center"].startswith("40 of 60 candidates")
