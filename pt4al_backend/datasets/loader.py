"""What every data set's reader does: find it in the folder where a person keeps it, or say where to get it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pt4al_backend.datasets.dataset import Dataset
from pt4al_backend.errors import ConfigError


class Loader(ABC):
    """Reads one data set.

    Attributes:
        about: what it is.
        origin: how to get it, a sentence.
        layout: what the folder holds, a line for each path.
    """

    about: ClassVar[str]
    origin: ClassVar[str]
    layout: ClassVar[Sequence[str]]

    @abstractmethod
    def read(self, folder: Path, masks: Path | None, max_pixels: int) -> Dataset:
        """Reads it; images may be decoded later.

        Args:
            folder: what --data names.
            masks: what --masks names.
            max_pixels: of the largest image that may be decoded.

        Raises:
            ConfigError: it is missing or not as ``layout`` says.
        """

    @abstractmethod
    def task(self, folder: Path, masks: Path | None) -> str:
        """The main task of what --data and --masks name, known before any image is read."""

    @property
    def place(self) -> str:
        """What --data names, with a line for each path in it."""
        return "\n    ".join(("a folder with", *self.layout))


class Made(Loader):
    """A data set that needs no files: it is made as it is read, the same each time.

    Attributes:
        noun: what its images are called.
        main: the main task.
    """

    layout = ("any folder; nothing in it is read",)
    noun: ClassVar[str]
    main: ClassVar[str]

    def read(self, folder: Path, masks: Path | None, max_pixels: int) -> Dataset:  # noqa: ARG002 - nothing is read
        """Makes it."""
        if masks is not None:
            raise ConfigError(f"{self.noun} have no masks.", "Leave --masks out.")
        return self._made()

    def task(self, folder: Path, masks: Path | None) -> str:  # noqa: ARG002 - it has no others
        """Always the same."""
        return self.main

    @abstractmethod
    def _made(self) -> Dataset:
        """The whole data set."""


class Published(Loader):
    """A data set of others, which has a name and lies in folders as its authors, or usual tools, unpack it.

    Attributes:
        home: what its folder is called.
        needs: paths in that folder without which it is not there.
        main: the main task.
    """

    home: ClassVar[str]
    needs: ClassVar[Sequence[str]]
    main: ClassVar[str] = "classification"

    def read(self, folder: Path, masks: Path | None, max_pixels: int) -> Dataset:  # noqa: ARG002 - decoded later
        """Reads it from ``folder``, or from the one of its name there."""
        if masks is not None:
            raise ConfigError("A data set that has a name has no masks elsewhere.", "Leave --masks out.")
        folder = folder.absolute()
        own = folder / self.home if (folder / self.home).is_dir() else folder
        for path in self.needs:
            if not (own / path).exists():
                raise ConfigError(f"There is no {own / path}.", self.remedy)
        return self._read(own)

    def task(self, folder: Path, masks: Path | None) -> str:  # noqa: ARG002 - it has no others
        """Always the same."""
        return self.main

    @abstractmethod
    def _read(self, folder: Path) -> Dataset:
        """Reads it from its own folder; all that it needs is there."""

    @property
    def place(self) -> str:
        """Its own folder or the one around it."""
        return "\n    ".join((f"the folder {self.home}, or one that holds it by this name, with", *self.layout))

    @property
    def remedy(self) -> str:
        """Where to get it, and where to put it."""
        return f"{self.origin}\n  --data names {self.place}"
