"""The one folder that the demo writes to. It starts afresh each time, and never deletes a folder that it did not make."""

import errno
import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pt4al_backend.errors import ConfigError

MARKER = ".pt4al-demo"


@contextmanager
def fresh(folder: Path) -> Iterator[IO[bytes]]:
    """Empties ``folder``, or makes it, and holds it; gives the open lock, which the demo's processes inherit.

    Raises:
        ConfigError: it holds other things, another demo uses it, or it cannot be written to.
    """
    marker = folder / MARKER
    try:
        _make(folder)
        if not marker.exists() and any(folder.iterdir()):
            raise ConfigError(f"{folder} holds files that are not the demo's; it empties its folder.", "Give another --folder.")
        with marker.open("ab") as lock:
            _hold(lock, folder)
            for path in folder.iterdir():
                if path != marker:
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            yield lock
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        if not is_full and (error.filename is None or not Path(str(error.filename)).is_relative_to(folder)):
            raise
        raise ConfigError(
            f"The demo cannot write to {error.filename or folder} ({error.strerror}).", "Free space, or give another --folder."
        ) from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # which may name a folder above
        raise ConfigError(f"The demo cannot make {folder} ({error.strerror}).", "Give another --folder.") from error


def _hold(lock: IO[bytes], folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(
            f"Another demo runs in {folder}, or is just ending.", "End it, wait some seconds, or give another --folder."
        ) from None
