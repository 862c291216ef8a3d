"""The rows about the pages: each page has one, and so have the answers behind the map."""

from pathlib import Path

import pytest

from pt4al_backend.bench.numbers import pages
from pt4al_backend.bench.numbers.workbench import Sizes, Workbench
from pt4al_backend.server.rendering import TABS


def test_each_page_has_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "TASKS", 60)
    monkeypatch.setattr(pages, "FEW", 40)
    monkeypatch.setattr(pages, "chromium_command", lambda: None)
    with Workbench(Path("unused"), Sizes()) as bench:
        lines = pages.measure(bench)
    assert [line.what for line in lines] == [
        *(f"page {words!r} at 60 tasks, first answer" for words in TABS.values()),
        "places of the map at 60 tasks, first answer",
        "colours of the map at 60 tasks, first answer",
        *(f"page {words!r}, 60 tasks against 40" for words in TABS.values()),
    ]
    assert all(line.value > 0 for line in lines)
