"""Where training runs, and in which precision."""

import functools
import os
from pathlib import Path
from typing import get_args

import torch

from pt4al_backend.config import Device
from pt4al_backend.errors import ConfigError, TrainingImpossible

NAMES: tuple[str, ...] = get_args(Device)


def choose(name: str) -> torch.device:
    """``auto`` (a GPU if there is one), ``cpu`` or ``cuda``.

    Raises:
        ConfigError: there is none of that name.
        TrainingImpossible: ``cuda`` is wanted and PyTorch finds no GPU.
    """
    if name not in NAMES:
        raise ConfigError(f"There is no device {name!r}.", f"There are {', '.join(NAMES)}.")
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise TrainingImpossible(
            "No CUDA device was found.", "Set PT4AL_DEVICE or --device to auto or cpu, or repair the GPU's driver."
        )
    return torch.device("cuda")


def cores() -> int:
    """CPU cores that this process may use: those it is bound to, or fewer if its container has a quota."""
    bound = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(bound, int(quota) // int(period)))
    except (OSError, ValueError):  # no container, or no quota ("max")
        return bound


def share_cores(processes: int = 1) -> None:
    """Leaves a core to others, and shares the rest among as many processes as do this work.

    ``OMP_NUM_THREADS`` sets the number of PyTorch's threads otherwise.

    PyTorch's threads wait for the slowest of them at every layer: where another process uses one of two cores now and
    then, two threads are three times slower than one.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (cores() - 1) // processes))


@functools.cache
def _has_bf16(kind: str) -> bool:
    """Whether bfloat16 runs in hardware; emulated it is slower than float32."""
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 where the hardware has it, which is faster there (docs/numbers.md), else float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=_has_bf16(device.type))


def free_memory(device: torch.device) -> int:
    """Bytes of a GPU's memory that are free."""
    return int(torch.cuda.mem_get_info(device)[0])


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a GPU or in PyTorch's CPU allocator, whose error has no class of its own."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    message = str(error)
    return isinstance(error, RuntimeError) and any(
        sign in message for sign in ("out of memory", "can't allocate memory", "ALLOC_FAILED")
    )
