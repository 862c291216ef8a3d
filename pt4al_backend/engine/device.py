"""The device that jobs run on. One job has it at a time, and nobody waits for it: a project comes back when it is free.

A GPU is locked for all workers of this host: by files in ``PT4AL_DATA_DIR``, which the workers of an installation share, in
containers too, and in the system's folder for temporary files, which those of other installations of the same user share. A CPU
is locked within one worker process only.
"""

import logging
import os
import platform
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import Self

from pt4al_backend.config import ServerSettings
from pt4al_backend.state.lease import locked

log = logging.getLogger(__name__)

GPUS = Path("/proc/driver/nvidia/gpus")
BOOT = Path("/proc/sys/kernel/random/boot_id")


class Device:
    """What trainings and scorings take turns at.

    Args:
        name: tells it from other devices, of any host.
        folders: where its lock lies for other processes; none: it is this process's own.
        is_plenty: jobs take no turns at it: a cluster has them wait for its devices itself.
    """

    def __init__(self, name: str = "", folders: Sequence[Path] = (), *, is_plenty: bool = False) -> None:
        self._is_plenty = is_plenty
        self._paths = [folder / f"device-{name}" for folder in folders]
        self._here = Lock()

    @classmethod
    def of(cls, settings: ServerSettings) -> Self:
        """The one that the settings name, on this host, or a cluster's."""
        if settings.runner == "ray":
            return cls(is_plenty=True)
        if not settings.has_gpu:
            return cls()
        folders = [settings.data_dir / "leases", Path(tempfile.gettempdir()) / f"pt4al-{os.getuid()}"]
        return cls(f"{_host()}-{_gpu()}", [folder for folder in folders if _is_own(folder)])

    @contextmanager
    def hold(self) -> Iterator[bool]:
        """Holds it; False, at once, if a job has it, here or in another worker of this host."""
        if self._is_plenty:
            yield True
            return
        if not self._here.acquire(blocking=False):
            yield False
            return
        with ExitStack() as stack:
            stack.callback(self._here.release)
            is_free = all(stack.enter_context(locked(path)) is not None for path in self._paths)
            if not is_free:
                stack.close()
            yield is_free


def _host() -> str:
    """The same in all containers of a machine, and another on every machine that shares the data folder over a network."""
    try:
        return BOOT.read_text().strip()
    except OSError:  # no Linux
        return platform.node()


def _gpu() -> str:
    """The first GPU that this process may use, found without importing torch: by its serial name where the driver tells it."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip() or "0"
    known = [_uuid(folder) for folder in sorted(GPUS.glob("*"))] if chosen.isdecimal() else []
    return known[int(chosen)] if chosen.isdecimal() and int(chosen) < len(known) else chosen.replace("/", "-")


def _uuid(folder: Path) -> str:
    """The driver's name for the GPU in a folder of its own, in which a container sees those alone that it was given."""
    try:
        lines = (folder / "information").read_text().splitlines()
    except OSError:
        return folder.name
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("GPU UUID")), folder.name)


def _is_own(folder: Path) -> bool:
    """Makes a folder for locks; whether it can be trusted: somebody else may have put one into a place that all can write."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_own = folder.lstat().st_uid == os.getuid() and folder.is_dir() and not folder.is_symlink()
        problem = "" if is_own else f"{folder.name} is not a folder that this user made. Have it deleted."
    except OSError as error:
        problem = str(error.strerror)
    if problem:
        log.warning("Workers that share only %s may use one GPU at once: %s", folder.parent, problem)
    return not problem
