"""What a job is to do: the one type of ``job.json``.

The live engine, ranking before import, the demo and the benchmark write it; the child reads it.

Whether a job that was prepared earlier still does what one prepared now would do, `JobSpec.is_current` decides. What else makes
earlier work stale is in ``engine.staleness``.
"""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from pt4al_backend.config import Affects, Device, Pretrained, ProjectSettings
from pt4al_backend.images.frames import Shape
from pt4al_backend.query.plan import ImageOutput

#: Of the fields below. Job folders without a version, or with another one, are prepared again.
VERSION: Final = 2


class JobKind(StrEnum):
    """The kinds of work that is given to a machine.

    Those are the two of a round, the map, whether to train the encoder too, that, its answers to later images, and the features
    of shards.
    """

    RANK = "rank"
    LEARN = "learn"
    LAYOUT = "layout"
    COMPARE = "compare"
    FULL = "full"
    ANSWER = "answer"
    SHARDS = "shards"


class _Later(StrEnum):
    """Marks a field whose new value waits for the next job: the one that is under way keeps what it was given."""

    LATER = "later"


LATER = _Later.LATER


class JobSpec(BaseModel):
    """What all kinds of job say.

    Attributes:
        version: of this type.
        project: number of the live project, None elsewhere.
        task: the main task.
        settings: the project's.
        device: where it computes.
        pretrained: whether weights may be downloaded, and ImageNet's looked for.
        weights: folder with weights of pretrained encoders.
        frames: the frame file.
        stored: height and width of the frames in it.
        shape: height and width of what networks see.
        masks: folder of the masks that labels name, if they name masks.
        learner: artefact of a pretext learner: a ranking scores with it, a training starts from it.
        outputs: what is kept of each image beside its loss or confidence, for the strategy.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: What the job makes, which settings may affect.
    makes: ClassVar[tuple[Affects, ...]] = ()
    #: Whether nobody waits for it: its process yields to all others.
    yields: ClassVar[bool] = False
    #: Whether it reads images where they lie: its process gets the credentials of stores.
    reads_stores: ClassVar[bool] = False

    version: Literal[2] = VERSION
    kind: JobKind
    project: int | None = None
    task: str
    settings: Annotated[ProjectSettings, BeforeValidator(ProjectSettings.stored)]
    device: Device
    pretrained: Pretrained
    weights: Annotated[Path | None, LATER] = None
    frames: Path
    stored: Shape
    shape: Shape
    masks: Path | None = None
    learner: Annotated[Path | None, LATER] = None
    outputs: tuple[ImageOutput, ...] = ()

    def same_for(self, other: "JobSpec", *affected: Affects) -> bool:
        """Whether no setting that affects any of these differs."""
        return self.settings.same_for(other.settings, *affected)

    def is_current(self, wanted: "JobSpec", *, anywhere: bool = False) -> bool:
        """Whether this job, prepared earlier, still does what a job prepared now would be ``wanted`` for.

        Settings that affect nothing of what it makes, and fields marked ``LATER``, may have changed. ``anywhere``: it is done,
        maybe on a host whose data folder is another one; of a path only the last two parts count.
        """
        decisive = [name for name, field in type(self).model_fields.items() if LATER not in field.metadata and name != "settings"]

        def decides(job: "JobSpec", name: str) -> Any:
            value = getattr(job, name)
            is_place = anywhere and isinstance(value, Path)
            return value.parts[-2:] if is_place else value

        return (
            type(self) is type(wanted)
            and self.same_for(wanted, *self.makes)
            and all(decides(self, name) == decides(wanted, name) for name in decisive)
        )

    def changed(self, **settings: Any) -> Self:
        """The same job with other settings."""
        return self.model_copy(update={"settings": self.settings.model_copy(update=settings)})


class RankSpec(JobSpec):
    """Score a pool by its pretext loss, with a learner that is trained on it first unless there is one."""

    makes: ClassVar[tuple[Affects, ...]] = (Affects.LEARNER,)

    kind: Literal[JobKind.RANK] = JobKind.RANK
    outputs: Annotated[tuple[ImageOutput, ...], LATER] = ()


class ModelSpec(JobSpec):
    """Train a model of the main task on labels, measure it on the control picks and let it score the candidates.

    Attributes:
        classes: of the main task.
        previous: artefact of the round before's model, if there is one.
        companion: what is trained for the strategy beside or after the model, "" for nothing.
        query_size: how many of the candidates the next query takes.
        digest: of the labels, by which the engine knows a training that failed on other ones.
        best_epoch: the benchmark's: end with the epoch that is best on the control picks (see ``learn.best_epoch``).
        is_last: the benchmark's: the last round of a run scores no candidates.
        arrays: the benchmark's: digest of the arrays beside the job.
        previous_fingerprint: the benchmark's: of the job that made ``previous``.
    """

    classes: tuple[str, ...]
    previous: Annotated[Path | None, LATER] = None
    companion: str = ""
    query_size: Annotated[int, LATER] = 0
    digest: Annotated[str, LATER] = ""
    best_epoch: bool = False
    is_last: bool = False
    arrays: str = ""
    previous_fingerprint: str | None = None


class LearnSpec(ModelSpec):
    """A round's model: it scores the candidates of the next query."""

    makes: ClassVar[tuple[Affects, ...]] = (Affects.MODEL, Affects.CANDIDATES)

    kind: Literal[JobKind.LEARN] = JobKind.LEARN


class FullSpec(ModelSpec):
    """A model whose encoder is trained too, to be served beside rounds of heads: all images are its candidates.

    Attributes:
        labels: how many there were when it was prepared.
        temperature: what its logits are divided by, as the comparison found.
    """

    makes: ClassVar[tuple[Affects, ...]] = (Affects.MODEL,)
    yields: ClassVar[bool] = True

    kind: Literal[JobKind.FULL] = JobKind.FULL
    labels: Annotated[int, LATER] = 0
    temperature: Annotated[float, LATER] = 1.0


class LayoutSpec(JobSpec):
    """Place the images of a pool in two dimensions by their features, for the map.

    Attributes:
        previous: artefact of the layout before, which later images join.
        features: tells the content of the feature file from another one, for those who look whether the layout is up to date.
    """

    yields: ClassVar[bool] = True

    kind: Literal[JobKind.LAYOUT] = JobKind.LAYOUT
    previous: Annotated[Path | None, LATER] = None
    features: str = ""


class CompareSpec(JobSpec):
    """Find out by the labels whether training the encoder too is better than a head on its features.

    Attributes:
        classes: of the main task.
        labels: how many labels there were when it was prepared.
    """

    makes: ClassVar[tuple[Affects, ...]] = (Affects.MODEL,)
    yields: ClassVar[bool] = True

    kind: Literal[JobKind.COMPARE] = JobKind.COMPARE
    classes: tuple[str, ...]
    labels: Annotated[int, LATER] = 0


class AnswerSpec(JobSpec):
    """Answer images that came after a model was trained, with that model.

    Attributes:
        model: its artefact.
        previous: result of the job before, whose answers these join.
    """

    yields: ClassVar[bool] = True

    kind: Literal[JobKind.ANSWER] = JobKind.ANSWER
    model: Path
    previous: Path | None = None


class ShardsSpec(JobSpec):
    """Describe the images of shards, until all of a work folder are done (see ``jobs.shards``). There is no frame file.

    Attributes:
        place: path or fsspec URL of the work folder.
        workers: how many processes work at it on this host.
        tells: whether it is the one of them that says which encoder it uses.
    """

    reads_stores: ClassVar[bool] = True

    kind: Literal[JobKind.SHARDS] = JobKind.SHARDS
    frames: Path = Path()
    place: str
    workers: int = 1
    tells: bool = True


_FAMILY: TypeAdapter[JobSpec] = TypeAdapter(
    Annotated[RankSpec | LearnSpec | LayoutSpec | CompareSpec | FullSpec | AnswerSpec | ShardsSpec, Field(discriminator="kind")]
)


def parse(text: str | bytes) -> JobSpec:
    """Reads what ``JobSpec.model_dump_json`` wrote.

    Raises:
        ValueError: it is no job, or one of another version.
    """
    given = json.loads(text)
    found = given.get("version", 1) if isinstance(given, dict) else None
    if found != VERSION:
        raise ValueError(f"its version is {found}, not {VERSION}")
    return _FAMILY.validate_python(given)
