"""What the manifests of finished jobs say: a type for each, by which it is read and, but for learners and models, written.

An entry that is missing has its default, and one that is unknown is left out: other versions may have written it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from pt4al_backend import artefacts
from pt4al_backend.aliases import Json
from pt4al_backend.config import ProjectSettings
from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.learn.weights.encoder_weights import EncoderWeights
from pt4al_backend.measures import Control, PretextQuality


class Manifest(BaseModel):
    """Of any job.

    Attributes:
        fingerprint: of all that its result depends on.
        kind: of the result, for people who look into its folder.
    """

    model_config = ConfigDict(frozen=True)

    fingerprint: str = ""
    kind: str = ""

    @contextmanager
    def writing(self, result: Path) -> Iterator[Path]:
        """As ``artefacts.writing``, of a result that has this manifest."""
        with artefacts.writing(result, **self.model_dump(mode="json")) as folder:
            yield folder

    @classmethod
    def known(cls, result: Path) -> Self | None:
        """That of a result whose files are checked by who reads them; None if there is none that this version can read."""
        try:
            return cls.read(result, check=False)
        except StoreCorrupt:
            return None

    @classmethod
    def read(cls, result: Path, *, check: bool = True) -> Self:
        """That of a job's result; its files are not read without ``check``, so that they may be damaged.

        Raises:
            StoreCorrupt: the artefact is damaged, or an entry is of another kind.
        """
        found = artefacts.manifest(result, check=check)
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            wrong = ", ".join(str(each["loc"][0]) for each in error.errors())
            raise StoreCorrupt(
                f"The manifest of {result} has no usable {wrong}.", f"Delete {result.parent}; it is made again."
            ) from None


class LearnerManifest(Manifest):
    """Of a pretext learner.

    Attributes:
        weights: that it started from, or that it left as they are; None if it has no pretrained encoder.
        init: what it started from, one of ``learn.weights.initial.Source``.
        features: numbers that describe an image (see ``image_vectors``); 0 if none were kept.
        network, normalisation: the form of its body and what that takes, as ``NetworkJob.manifest`` wrote them.
        device: kind of the device that it was trained on.
    """

    settings: Annotated[ProjectSettings, BeforeValidator(ProjectSettings.stored)] = ProjectSettings.stored({})
    quality: PretextQuality = PretextQuality()
    weights: EncoderWeights | None = None
    init: str = ""
    features: int = 0
    network: Json = {}
    normalisation: Json = {}
    device: str = ""


class ModelManifest(Manifest):
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


class ComparisonManifest(Manifest):
    """Of a comparison, as ``learn.frozen.comparison.Comparison`` has it; an earlier version measured no temperature."""

    kind: str = "comparison"
    seconds: float = 0.0
    images: int
    head: float
    full: float
    error: float
    temperature: float = 1.0


class AnswersManifest(Manifest):
    """Of answers to images that came after a model's training.

    Attributes:
        images: that it has answered since, those of the jobs before among them.
    """

    kind: str = "answers"
    seconds: dict[str, float] = {}
    images: int = 0
