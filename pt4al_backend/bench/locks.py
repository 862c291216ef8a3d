"""One process at a time in a folder of runs or rankings, or at a file that describes them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pt4al_backend import locks
from pt4al_backend.errors import ConfigError


@contextmanager
def held(path: Path, *, wait: bool) -> Iterator[None]:
    """Holds a folder or a file, by a hidden file beside it; waits for another process that holds it, if ``wait``.

    Raises:
        ConfigError: another process holds it, and it is not to be waited for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("ab") as file, locks.held(file, wait=wait) as is_ours:
        if not is_ours:
            remedy = "Wait for it, or let this one run other seeds (--first-seed)."
            raise ConfigError(f"Another process runs in {path}.", remedy)
        yield
