"""One process at a time in a folder of runs or rankings."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pt4al_backend.errors import ConfigError


@contextmanager
def held(folder: Path, *, wait: bool) -> Iterator[None]:
    """Holds a folder, by a hidden file beside it; waits for another process that holds it, if asked to.

    Raises:
        ConfigError: another process holds it, and it is not to be waited for.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            remedy = "Wait for it, or let this one run other seeds (--first-seed)."
            raise ConfigError(f"Another process runs in {folder}.", remedy) from None
        yield
