"""What an insight says of itself in the manifest of its artefact: one type for who writes it and who reads it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from pt4al_backend import artefacts
from pt4al_backend.errors import StoreCorrupt


class InsightFacts(BaseModel):
    """Of any insight.

    Attributes:
        key: of what it was made of; another one means that it is out of date.
    """

    model_config = ConfigDict(frozen=True)

    key: str = ""

    @contextmanager
    def writing(self, folder: Path) -> Iterator[Path]:
        """As ``artefacts.writing``, of an insight that these are the facts of; its kind is the folder's name."""
        with artefacts.writing(folder, kind=folder.name, facts=self.model_dump(mode="json")) as draft:
            yield draft

    @classmethod
    def known(cls, folder: Path) -> Self | None:
        """Those of an insight whose files are checked by who reads them; None if there is none that this version can read."""
        try:
            return cls.model_validate(artefacts.manifest(folder, check=False)["facts"])
        except (StoreCorrupt, KeyError, ValidationError):
            return None
