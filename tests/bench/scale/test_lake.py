"""The images that a ranking of millions is measured by."""

from pathlib import Path

import pytest

from pt4al_backend.bench.scale import lake
from pt4al_backend.bench.scale.rates import Rate
from pt4al_backend.images.decode import decode
from pt4al_backend.images.sources import find
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress

pytest.importorskip("aiohttp", reason="needs the extra http")


def test_all_images_are_listed_and_differ(tmp_path: Path) -> None:
    with lake.running(1_003, tmp_path / "log") as url:
        source = find([url], lambda _: None)
        assert len(source.names) == 1_003
        files = {source.read(name, 10_000) for name in source.names[-5:]}
    assert len(files) == 5
    assert {decode(file, 10_000).image.size for file in files} == {(32, 32)}


def test_rate_leaves_out_the_time_before_the_first_image(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter((100.0, 104.0))
    monkeypatch.setattr("pt4al_backend.bench.scale.rates.time.monotonic", lambda: next(times))
    rate = Rate(Phase.FEATURES)
    for done in (0, 10, 10, 50):
        rate(Progress(Phase.FEATURES, done=done, total=50))
    assert rate.per_second == 10
