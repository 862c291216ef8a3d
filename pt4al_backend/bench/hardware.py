"""What numbers were measured on, by name."""

import functools
import platform
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

CPUS = Path("/proc/cpuinfo")


def processor() -> str:
    """The processor's model, or its architecture where the system says no more."""
    lines = CPUS.read_text().splitlines() if CPUS.exists() else []
    found = next((line for line in lines if line.startswith("model name")), "")
    return " ".join(found.partition(":")[2].split()) or platform.machine()


@functools.cache
def name(device: "torch.device") -> str:
    """The model of a GPU, or of the processor."""
    import torch  # not before a measurement that torch has no part in

    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
