"""``pt4al demo``."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


def test_demo_passes_on_its_options(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: dict[str, Any] = {}
    monkeypatch.setitem(sys.modules, "pt4al_backend.demo.show", SimpleNamespace(run=lambda **options: passed.update(options)))
    result = run(
        *("demo", "--task", "segmentation", "--images", "photos", "--masks", "masks", "--rounds", "2", "--no-stay"),
        *("--folder", "d", "--label-studio", "bin/label-studio"),
    )
    assert result.exit_code == 0, result.output
    assert passed == {
        "task": "segmentation",
        "images": Path("photos"),
        "masks": Path("masks"),
        "rounds": 2,
        "stay": False,
        "folder": Path("d"),
        "label_studio": Path("bin/label-studio"),
    }
