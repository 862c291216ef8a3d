"""How many rows of a file, from the first, are known to be here or in the artefact store, so that a quiet look reads none."""

from dataclasses import dataclass
from pathlib import Path

from pt4al_backend import artefacts

#: Below which row this host has all that there is, and below which the store has.
HERE, SHARED = "filled", "shared"


@dataclass(frozen=True)
class Mark:
    """A number of rows that is kept beside their file; 0 if the file is gone."""

    file: Path
    name: str

    def read(self) -> int:
        """The number."""
        try:
            return int(self._path.read_text()) if self.file.is_file() else 0
        except (FileNotFoundError, ValueError):
            return 0

    def write(self, rows: int) -> None:
        """Keeps it."""
        artefacts.atomic_write(self._path, str(rows).encode())

    @property
    def _path(self) -> Path:
        return self.file.with_name(f"{self.file.name}.{self.name}")
