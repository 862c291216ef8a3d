"""What every data set's reader does: find it in the folder where a person keeps it, or say where to get it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pt4al_backend.datasets.data_set import DataSet
from pt4al_backend.errors import ConfigError


class Loader(ABC):
    """Reads one data set.

    Attributes:
        about: what it is.
        origin: where to get it.
        layout: what the folder holds, a line for each path.
    """

    about: ClassVar[str]
    origin: ClassVar[str]
    layout: ClassVar[Sequence[str]]

    @abstractmethod
    def read(self, folder: Path, masks: Path | None, max_pixels: int) -> DataSet:
        """Reads it; images may be decoded later.

        Args:
            folder: what --data names.
            masks: what --masks names.
            max_pixels: of the largest image that may be decoded.

        Raises:
            ConfigError: it is missing or not as ``layout`` says.
        """

    def remedy(self, folder: Path) -> str:
        """Where to get it, and where to put it."""
        lines = "".join(f"\n  {line}" for line in self.layout)
        return f"Get it from {self.origin}\nThe folder that --data names, here {folder}, has to hold:{lines}"


class Published(Loader):
    """A data set of others, which has a name and lies in folders as its authors, or usual tools, unpack it.

    Attributes:
        needs: paths in the folder without which it is not there.
    """

    needs: ClassVar[Sequence[str]]

    def read(self, folder: Path, masks: Path | None, max_pixels: int) -> DataSet:  # noqa: ARG002 - decoded later
        """Reads it from below ``folder``."""
        if masks is not None:
            raise ConfigError("A data set that has a name has no masks elsewhere.", "Leave --masks out.")
        for place in self.needs:
            if not (folder / place).exists():
                raise ConfigError(f"There is no {folder / place}.", self.remedy(folder))
        return self._read(folder)

    @abstractmethod
    def _read(self, folder: Path) -> DataSet:
        """Reads it; all that it needs is there."""
