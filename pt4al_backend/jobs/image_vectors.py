"""The vectors that describe the images of a pool, for what is computed for its pages: where they lie, and what made them.

Where heads are trained on a frozen encoder, they are the encoder's features, which are there anyway. Elsewhere the ranking keeps
the features of its pretext learner beside the learner. No torch is needed to read them.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from pt4al_backend.aliases import Json
from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.images.frames import Shape
from pt4al_backend.jobs.head import EncoderFile
from pt4al_backend.jobs.manifest import LearnerManifest
from pt4al_backend.jobs.spec import JobSpec
from pt4al_backend.learn.frozen.feature_file import FeatureFile
from pt4al_backend.query.plan import on_features

#: Beside the artefact of a pretext learner.
FILE = "features.f16"


class MadeBy(StrEnum):
    """What the vectors come from."""

    ENCODER = "encoder"
    LEARNER = "pretext learner"


class VectorSource(BaseModel):
    """What made the vectors; only those of one source can be compared.

    Attributes:
        weights: SHA-256 of the encoder's, if an encoder made them.
        learner: fingerprint of the job that trained the pretext learner, if that made them.
        shape: height and width of the images that were seen.
    """

    model_config = ConfigDict(frozen=True)

    weights: str = ""
    learner: str = ""
    shape: Shape = (0, 0)

    def facts(self) -> Json:
        """As JSON has it."""
        return self.model_dump(mode="json", exclude_defaults=True)


@dataclass(frozen=True)
class ImageVectors:
    """Where the vectors of a pool lie, for each row of its frame file.

    Attributes:
        width: numbers of each vector.
        source: what made them.
    """

    by: MadeBy
    path: Path
    width: int
    source: VectorSource

    @classmethod
    def of(cls, spec: JobSpec, *, check: bool = True) -> Self | None:
        """Of the images of a job with a pretext learner; None if there is none, or it was ranked by a version that kept none.

        Without ``check`` the weights are not read, so that they may be damaged.
        """
        if spec.learner is None:
            return None
        if on_features(spec.settings, spec.task):
            encoder = EncoderFile.of(spec.learner, spec.settings.frozen_encoder, check=check)
            if encoder is None:
                return None
            source = VectorSource(weights=encoder.given.sha256, shape=spec.shape)
            return cls(MadeBy.ENCODER, encoder.path(spec), encoder.features, source)
        try:
            manifest = LearnerManifest.read(spec.learner, check=check)
        except StoreCorrupt:
            return None
        if not manifest.features:
            return None
        source = VectorSource(learner=manifest.fingerprint, shape=spec.shape)
        return cls(MadeBy.LEARNER, path_beside(spec.learner), manifest.features, source)

    def file(self, *, writable: bool = True) -> FeatureFile:
        """The vectors."""
        return FeatureFile(self.path, 1, self.width, writable=writable)


def path_beside(learner: Path) -> Path:
    """Where the vectors of a pretext learner lie, by its artefact."""
    return learner.parent / FILE
