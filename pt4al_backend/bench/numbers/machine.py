"""What a table was measured on: without that its numbers mean nothing."""

import os
import platform
import time
from dataclasses import dataclass
from importlib.metadata import version

import psutil

from pt4al_backend.bench import hardware

GIB = 2**30


@dataclass(frozen=True)
class Machine:
    """The hardware, and how busy it already was."""

    processor: str
    cores: int
    memory: int
    load: float

    @classmethod
    def here(cls) -> "Machine":
        """This machine, now; cores are those that this process may use."""
        return cls(hardware.processor(), len(os.sched_getaffinity(0)), psutil.virtual_memory().total, os.getloadavg()[0])


def heading(machine: Machine, command: str, label_studio: str, seconds: float) -> str:
    """The lines above a table: where, when, with what, and how to do it again."""
    from pt4al_backend.learn import devices  # not before the measurements: other processes of theirs import this module

    device = devices.choose("auto")
    trained_on = f"training on {hardware.name(device) if device.type == 'cuda' else 'the CPU'}"
    software = [f"Python {platform.python_version()}", f"torch {version('torch')}"]
    software += [f"Label Studio {label_studio} on SQLite"] if label_studio else []
    date = time.strftime("%Y-%m-%d", time.gmtime())
    return (
        f"`{command}`, {date}, {seconds:.0f} s: {machine.cores} cores of {machine.processor}, "
        f"{machine.memory / GIB:.0f} GiB, {trained_on}; {', '.join(software)}; "
        f"load average before the start {machine.load:.1f}.\n"
    )
