"""What the manifests of finished jobs say to others than those who load the network.

An entry that is missing has its default, and one that is unknown is left out: other versions may have written it.
"""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from pt4al_backend import artefacts
from pt4al_backend.config import ProjectSettings
from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.measures import Control, PretextQuality


class _Manifest(BaseModel):
    model_config = ConfigDict(frozen=True)

    @classmethod
    def read(cls, result: Path) -> Self:
        """That of a job's result.

        Raises:
            StoreCorrupt: the artefact is damaged, or an entry is of another kind.
        """
        found = artefacts.manifest(result)
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            wrong = ", ".join(str(each["loc"][0]) for each in error.errors())
            raise StoreCorrupt(
                f"The manifest of {result} has no usable {wrong}.", f"Delete {result.parent}; it is made again."
            ) from None


class EncoderWeights(BaseModel):
    """The weights of a pretrained encoder: its name in timm, the file's SHA-256, where it came from, and its licence."""

    model_config = ConfigDict(frozen=True)

    encoder: str = ""
    sha256: str = ""
    source: str = ""
    licence: str = ""


class LearnerManifest(_Manifest):
    """Of a pretext learner.

    Attributes:
        weights: that it started from, or that it left as they are; None if it has no pretrained encoder.
    """

    settings: Annotated[ProjectSettings, BeforeValidator(ProjectSettings.stored)] = ProjectSettings.stored({})
    quality: PretextQuality = PretextQuality()
    weights: EncoderWeights | None = None


class ModelManifest(_Manifest):
    """Of a main task's model.

    Attributes:
        train_size: labels that it has learned.
        seconds: that its training took, by part.
        weights: as of ``LearnerManifest``.
    """

    task: str = ""
    classes: tuple[str, ...] = ()
    train_size: int = 0
    control: Control = Control()
    seconds: dict[str, float] = {}
    weights: EncoderWeights | None = None
