"""How a record names what it was measured on."""

import platform
from pathlib import Path

import pytest
import torch

from pt4al_backend.bench import hardware


@pytest.mark.parametrize(
    ("content", "processor"),
    [
        ("processor\t: 0\nmodel name\t: AMD  EPYC 9B14\nflags\t: fpu\nmodel name\t: other\n", "AMD EPYC 9B14"),
        ("processor\t: 0\nBogoMIPS\t: 243.75\n", platform.machine()),
        (None, platform.machine()),
    ],
    ids=["x86", "arm", "not told"],
)
def test_a_processor_goes_by_its_model_or_its_architecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, processor: str
) -> None:
    monkeypatch.setattr(hardware, "CPUS", tmp_path / "cpuinfo")
    if content is not None:
        hardware.CPUS.write_text(content)
    assert hardware.processor() == processor


def test_a_gpu_goes_by_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"model of {device}")
    assert hardware.name(torch.device("cuda", 7)) == "model of cuda:7"
