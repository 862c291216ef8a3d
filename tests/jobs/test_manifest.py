"""What a job's result says of itself, for versions before and after."""

import json
from pathlib import Path

import pytest

from pt4al_backend.artefacts import MANIFEST
from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.jobs.manifest import AnswersManifest, ComparisonManifest

COMPARISON = ComparisonManifest(fingerprint="f", images=30, head=0.7, full=0.8, error=0.02, temperature=1.5)


@pytest.fixture
def result(tmp_path: Path) -> Path:
    with COMPARISON.writing(tmp_path / "result"):
        pass
    return tmp_path / "result"


def rewrite(result: Path, **changes: object) -> None:
    """Gives a manifest other entries; those that are None are taken out."""
    entries = json.loads((result / MANIFEST).read_text()) | changes
    (result / MANIFEST).write_text(json.dumps({name: value for name, value in entries.items() if value is not None}))


def test_manifest_reads_as_it_was_written(result: Path) -> None:
    assert ComparisonManifest.read(result) == COMPARISON
    assert json.loads((result / MANIFEST).read_text())["kind"] == "comparison"


def test_entries_of_other_versions_are_tolerated(result: Path) -> None:
    rewrite(result, temperature=None, colour="red")
    assert ComparisonManifest.known(result) == COMPARISON.model_copy(update={"temperature": 1.0})


@pytest.mark.parametrize("damage", [{"head": None}, {"images": "many"}, {"files": None}, {"schema": 99}])
def test_manifest_that_cannot_be_used_is_refused_or_unknown(result: Path, damage: dict[str, object]) -> None:
    rewrite(result, **damage)
    assert ComparisonManifest.known(result) is None
    with pytest.raises(StoreCorrupt):
        ComparisonManifest.read(result)


def test_missing_result_is_unknown(tmp_path: Path) -> None:
    assert AnswersManifest.known(tmp_path / "result") is None
