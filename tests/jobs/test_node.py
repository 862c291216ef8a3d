"""The environment of a job's child."""

import platform
from pathlib import Path

import pytest

from pt4al_backend.jobs.run.node import environment_of

THRESHOLDS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


@pytest.mark.parametrize(
    ("library", "keeps"), [(("glibc", "2.36"), True), (("glibc", "2.41"), True), (("glibc", "2.34"), False), (("", ""), False)]
)
def test_child_keeps_memory_where_its_c_library_can(
    library: tuple[str, str], keeps: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in THRESHOLDS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(platform, "libc_ver", lambda: library)
    assert {*THRESHOLDS}.issubset(environment_of(tmp_path)) is keeps


def test_thresholds_that_are_set_stay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(THRESHOLDS[0], "4096")
    assert environment_of(tmp_path)[THRESHOLDS[0]] == "4096"
