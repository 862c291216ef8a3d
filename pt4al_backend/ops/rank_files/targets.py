"""The files that a ranking is written to."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from pt4al_backend.errors import ConfigError


@dataclass(frozen=True)
class Targets:
    """The file of the tasks to import, and beside it that of the ranked rest."""

    tasks: Path

    @property
    def rest(self) -> Path:
        """``tasks.rest.jsonl`` beside ``tasks.json``."""
        return self.tasks.with_name(f"{self.tasks.stem}.rest.jsonl")

    def require_writable(self) -> None:
        """Checks that they can be written, before a training takes its time.

        Raises:
            ConfigError: they cannot, and why.
        """
        path = self.tasks
        if path.is_dir():
            raise ConfigError(f"{path} is a folder.", "Name a file with --out, such as tasks.json.")
        if not path.parent.is_dir():
            raise ConfigError(f"There is no folder {path.parent} to write {path.name} into.", "Make it, or change --out.")
        try:
            with tempfile.TemporaryFile(dir=path.parent):
                return
        except OSError as error:
            raise ConfigError(f"No file can be written in {path.parent} ({error.strerror}).", "Change --out.") from error
