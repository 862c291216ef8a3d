"""A project's settings, and what a change of each of them changes.

Label Studio's *extra params* (the JSON field of the connection form) override the environment for one project. Unknown
keys and bad values are refused with a message that names key, value and what is allowed.

Settings that were stored, in a job or in a model's manifest, are read by ``ProjectSettings.stored``: without the reader's
environment, and whatever settings have come or gone since.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pt4al_backend.config.catalog import BATCH_ORDERS, BATCH_SAMPLERS, FIRST_QUERIES, PRETEXTS, SEGMENTER_ENCODERS, STRATEGIES
from pt4al_backend.config.refusal import PREFIX, reason_of, refusal
from pt4al_backend.errors import LONGEST_VALUE, ConfigError, shortened

#: What ``preset = "paper"`` changes; a key that is given beside it wins. Values: PT4AL, sections 4, 5.1, 5.4. Minibatches and
#: learning rates are each task's own, which for fresh weights are the paper's in classification.
PAPER: dict[str, Any] = {
    "rounds": 10,
    "control_share": 0.0,
    "reserve_size": 0,
    "first_query": "hardest_batch",
    "strategy": "pt4al",
    "sampler": "least_confidence",
    "batch_order": "hard_first",
    "init": "fresh",
    "warm_start": False,
    "schedule": "step",
    "epochs": 200,
    "pretext_holdout": 0.0,
    "encoder": "resnet101",
    "architecture": "deeplabv3",
}


class Rules(NamedTuple):
    """The settings of these names; no ``batches``: as many as rounds."""

    first_query: str
    sampler: str
    batches: int | None


#: On the features of a frozen encoder, and where a network is trained.
ON_FEATURES = Rules("herding", "herding", 2)
ON_NETWORKS = Rules("stratified", "margin", None)

EXTRA_PARAMS = "Change it in Label Studio, Settings > Model > Edit > Extra params, or in the environment (PT4AL_…)."


class Affects(StrEnum):
    """What a change of a setting changes; each field of ``ProjectSettings`` declares it.

    A job is made again when a setting has changed that affects what it makes (``jobs.spec``).
    """

    QUEUE = "queue"  #: what the queue that is served shows; it is published again
    POOL = "pool"  #: which tasks there are; no job
    QUERY = "query"  #: what is queried and shown next, or which labels the next training gets; no job
    CANDIDATES = "candidates"  #: which candidates a training of the main task scores, and what it keeps of them
    MODEL = "model"  #: the weights that a training of the main task ends with
    LEARNER = "learner"  #: the weights that a training of the pretext learner ends with
    RANKING = "ranking"  #: which learner it has to be: after the round that is open, another one ranks the pool again
    IMAGES = "images"  #: the frames: they are made, ranked and learned again


#: The values of settings that are names in the catalog. ``first_query`` has ``batch:N`` as well.
VOCABULARY = {
    "strategy": tuple(STRATEGIES),
    "pretext": tuple(PRETEXTS),
    "sampler": BATCH_SAMPLERS,
    "batch_order": BATCH_ORDERS,
    "first_query": FIRST_QUERIES,
}


class ProjectSettings(BaseModel):
    """One project's settings. ``project_settings`` reads them from extra params and environment, ``stored`` from a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Literal["default", "paper"] = Field(
        "default", description="`paper` sets rounds, query, initial weights, epochs and schedule as published."
    )
    rounds: Annotated[int, Affects.QUERY, Affects.CANDIDATES] = Field(
        10, ge=1, le=1000, description="Rounds that the pool should last for."
    )
    batches: Annotated[int | None, Affects.QUERY, Affects.CANDIDATES] = Field(
        None,
        ge=1,
        le=1000,
        description="I, how many batches the ranking is cut into; after as many rounds they are cut again. Empty: 2 on the "
        "features of a pretrained encoder, else as many as rounds (the paper).",
    )
    query_size: Annotated[int | None, Affects.QUERY] = Field(
        None,
        ge=1,
        le=1_000_000,
        description="K, tasks that a round queries; empty: 10 on the features of a pretrained encoder, else 2 % of the pool, at "
        "least 20.",
    )
    reserve_size: Annotated[int | None, Affects.QUERY] = Field(
        None, ge=0, le=1_000_000, description="Tasks published behind the query; empty: as many as the query."
    )
    control_share: Annotated[float, Affects.QUERY] = Field(
        0.1, ge=0, le=0.5, description="Share of a query that is drawn uniformly and measures the model."
    )
    control: Annotated[str, Affects.MODEL] = Field(
        "",
        max_length=1000,
        description="Name of the tag to learn, where the labeling config has several; empty: the only one, or the outlines "
        "where a choice is beside them.",
    )
    accept_config: Annotated[str, Affects.QUERY] = Field(
        "",
        max_length=100,
        description="Code of a new labeling config that drops labels, as the notice about it says: the config is then used.",
    )
    strategy: Annotated[str, Affects.QUERY, Affects.CANDIDATES] = Field(
        "pt4al", description="Rule that picks the query; `pt4al list` prints them."
    )
    first_query: Annotated[str | None, Affects.QUERY] = Field(
        None,
        description="What is queried without a model: even intervals of the whole ranking, the paper's of the hardest batch, "
        "those of another batch (`batch:5`), the highest losses, what covers the pool by the pretext learner's features "
        "(`herding`), or a uniform draw. Empty: herding on the features of a pretrained encoder, else stratified.",
    )
    sampler: Annotated[str | None, Affects.QUERY, Affects.CANDIDATES] = Field(
        None,
        description="What PT4AL queries first inside a batch: where the model is unsure (the paper: least confidence; its "
        "published code: that of normalised logits), or what covers the batch best. Empty: herding on the features of a "
        "pretrained encoder, else margin.",
    )
    batch_order: Annotated[str, Affects.QUERY, Affects.CANDIDATES] = Field(
        "interleaved",
        description="Order in which PT4AL queries the batches: the hardest, the easiest, the second hardest, … (interleaved), or "
        "the paper's, hardest first.",
    )
    pretext: Annotated[str | None, Affects.RANKING, Affects.LEARNER, Affects.MODEL] = Field(
        None,
        description="Pretext task that ranks the pool; `pt4al list` prints them; empty: rotation, colorization for segmentation.",
    )
    pretext_epochs: Annotated[int, Affects.LEARNER] = Field(
        15, ge=1, le=1000, description="Epochs of the pretext learner over the pool."
    )
    pretext_holdout: Annotated[float, Affects.LEARNER] = Field(
        0.1,
        ge=0,
        le=0.25,
        description="Share of the pool that the pretext learner does not train on, by which its learning is measured.",
    )
    encoder: Annotated[str | None, Affects.RANKING, Affects.LEARNER, Affects.MODEL, Affects.CANDIDATES] = Field(
        None,
        max_length=200,
        pattern=r"^(tu-)?[A-Za-z0-9_.]+$",
        description="A pretrained network by its name in timm. Empty or `auto`: one whose weights are on this machine, or are "
        "downloaded. Without any, as with `resnet18`: a ResNet-18 trained from the pretext learner's weights; for segmentation "
        "on a GPU, `resnet101`. For segmentation these two, `resnet34`, `resnet50` and `mobilenet_v2` are torchvision's; "
        "`tu-resnet18` is timm's.",
    )
    tuning: Annotated[Literal["auto", "head", "full"], Affects.RANKING, Affects.LEARNER, Affects.MODEL, Affects.CANDIDATES] = (
        Field(
            "auto",
            description="With a pretrained encoder: `head` trains the head alone, `full` the encoder as well. `auto` is `head`, "
            "but serves a model trained by `full` where the labels favour it; for segmentation it is `full`.",
        )
    )
    architecture: Annotated[Literal["deeplabv3plus", "deeplabv3", "dpt"], Affects.RANKING, Affects.LEARNER, Affects.MODEL] = (
        Field("deeplabv3plus", description="Segmentation: the segmenter; on a vision transformer it is always `dpt`.")
    )
    unlabelled: Annotated[Literal["background", "ignore"], Affects.MODEL] = Field(
        "background", description="Segmentation: pixels without a label count as background, or are ignored."
    )
    background: Annotated[str, Affects.MODEL] = Field(
        "background", min_length=1, max_length=1000, description="Segmentation: name of the class of unlabelled pixels."
    )
    uncertain_share: Annotated[float, Affects.CANDIDATES] = Field(
        1.0,
        gt=0,
        le=1,
        description="Segmentation: share of an image's pixels, the least certain ones, over which its confidence is averaged.",
    )
    init: Annotated[Literal["auto", "pretext", "imagenet", "fresh"], Affects.LEARNER, Affects.MODEL] = Field(
        "auto",
        description="Weights that a round's training starts from; auto: a pretrained encoder's own, else the pretext learner's.",
    )
    warm_start: Annotated[bool, Affects.MODEL] = Field(False, description="Start from the previous round's weights instead.")
    epochs: Annotated[int | None, Affects.MODEL] = Field(
        None, ge=1, le=10_000, description="Epochs of a round's training; empty: 100 on a GPU, 30 on a CPU."
    )
    companion_steps: Annotated[int | None, Affects.CANDIDATES] = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Steps that VAAL and TA-VAAL train their autoencoder; empty: as published on a GPU, 200 on a CPU.",
    )
    schedule: Annotated[Literal["cosine", "step"], Affects.MODEL] = Field(
        "cosine", description="Learning rate over time; the paper's is step."
    )
    learning_rate: Annotated[float | None, Affects.LEARNER, Affects.MODEL] = Field(
        None,
        gt=0,
        le=10,
        description="Highest learning rate; empty: 0.1 for fresh weights, 0.05 for others, a fifth for transformers.",
    )
    minibatch_size: Annotated[int | None, Affects.MODEL] = Field(
        None,
        ge=2,
        le=65536,
        description="Images in one step of SGD; empty: 128, 8 for segmentation; halved when memory runs out.",
    )
    class_weights: Annotated[Literal["none", "balanced"], Affects.MODEL] = Field(
        "none",
        description="`balanced` weighs classes by their inverse frequency; with several choices, each class weighs the images "
        "that have it as much as those that do not.",
    )
    image_size: Annotated[int | None, Affects.IMAGES] = Field(
        None,
        ge=16,
        le=1024,
        description="Pixels of a side; empty: as imported up to 64, above it 224 on a GPU and 128 on a CPU. "
        "Segmentation: of the longer side; empty: 512 on a GPU and 128 on a CPU.",
    )
    width: Annotated[int | None, Affects.RANKING, Affects.LEARNER, Affects.MODEL] = Field(
        None,
        ge=8,
        le=256,
        description="Classification, of one choice or several: channels of the first stage; empty: 64 on a GPU, 16 on a CPU.",
    )
    refill_below: Annotated[int, Affects.POOL] = Field(
        0,
        ge=0,
        le=10_000_000,
        description="Tasks are added from the ranked rest once fewer than so many are left to label; 0: by `pt4al refill` alone.",
    )
    refill_size: Annotated[int, Affects.POOL] = Field(
        1000, ge=1, le=100_000, description="Tasks that a refill adds from the ranked rest."
    )
    show_predictions: Annotated[bool, Affects.QUEUE] = Field(
        True, description="Show the model's answer in the editor; control picks never show one."
    )
    train_on_accepted: Annotated[bool, Affects.QUERY] = Field(
        True, description="Train on predictions that an annotator submitted unchanged."
    )
    seed: Annotated[int, Affects.QUERY, Affects.CANDIDATES, Affects.LEARNER, Affects.MODEL] = Field(
        0, ge=0, le=2**63 - 1, description="Seed of everything random."
    )

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, given: dict[str, Any]) -> dict[str, Any]:
        return {**PAPER, **given} if given.get("preset") == "paper" else given

    @field_validator(*VOCABULARY)
    @classmethod
    def _is_in_catalog(cls, value: str | None, info: ValidationInfo) -> str | None:
        names = VOCABULARY[str(info.field_name)]
        if value is None or value in names or (info.field_name == "first_query" and _batch_of(value)):
            return value
        beside = " or 'batch:N', N from 1" if info.field_name == "first_query" else ""
        raise ValueError(f"Input should be one of {', '.join(map(repr, names))}{beside}")

    @field_validator("encoder", mode="before")
    @classmethod
    def _is_open(cls, value: Any) -> Any:
        return None if value == "auto" else value

    @model_validator(mode="after")
    def _batch_exists(self) -> Self:
        number, set_by = self.batches or self.rounds, "batches" if self.batches else "rounds"
        if self.first_query and _batch_of(self.first_query) > number:
            raise ValueError(f"Setting 'first_query': there is no {self.first_query!r} where {set_by!r} is {number}")
        return self

    @property
    def pretrained_encoder(self) -> str:
        """The pretrained encoder by its name in timm, "" for none."""
        return "" if self.encoder is None or self.encoder in SEGMENTER_ENCODERS else self.encoder.removeprefix("tu-")

    @property
    def frozen_encoder(self) -> str:
        """The pretrained encoder if classification leaves it as it is, "" for none."""
        return "" if self.tuning == "full" else self.pretrained_encoder

    def rules(self) -> "Rules":
        """How a query is made; what is left open is decided by what is trained."""
        own = ON_FEATURES if self.frozen_encoder else ON_NETWORKS
        return Rules(self.first_query or own.first_query, self.sampler or own.sampler, self.batches or own.batches)

    @classmethod
    def stored(cls, given: Any) -> Self:
        """Reads settings that a version of this backend has stored: what is missing is as by default, what is unknown has gone.

        They were validated when they were written. A value that has gone since, such as a strategy's name, is refused by
        what would use it.

        Raises:
            ValueError: it is no object.
        """
        if isinstance(given, cls):
            return given
        if not isinstance(given, Mapping):
            raise ValueError(f"settings are an object, not {given!r}")
        return cls.model_construct(**{key: value for key, value in given.items() if key in cls.model_fields})

    def resnet_width(self, *, on_gpu: bool) -> int:
        """Channels of the first stage of a ResNet-18 that labels whole images."""
        return self.width or (64 if on_gpu else 16)

    @classmethod
    def affecting(cls, *affected: Affects) -> frozenset[str]:
        """Names of the settings that affect any of these."""
        wanted = set(affected)
        return frozenset(name for name, field in cls.model_fields.items() if wanted.intersection(field.metadata))

    def same_for(self, other: Self, *affected: Affects) -> bool:
        """Whether no setting that affects any of these differs."""
        return all(getattr(self, name) == getattr(other, name) for name in self.affecting(*affected))


def _batch_of(rule: str) -> int:
    """The batch that a first query of ``batch:N`` names, 0 if it is another rule."""
    kind, _, number = rule.partition(":")
    is_number = number.isascii() and number.isdigit() and not number.startswith("0")
    return int(number) if kind == "batch" and is_number else 0


class _Environment(BaseSettings, ProjectSettings):
    """The same, with the environment (``PT4AL_ROUNDS``, …) under what is given."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")


def as_object(extra_params: Any) -> Mapping[str, Any]:
    """Extra params as an object: Label Studio keeps what was sent, an object or a JSON text.

    Raises:
        ConfigError: they are neither.
    """
    params = extra_params or {}
    if isinstance(params, str):
        try:
            params = json.loads(params)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"The extra params are not JSON ({error}).", 'Write an object such as {"rounds": 10}.') from error
    if not isinstance(params, Mapping):
        raise ConfigError(
            f"The extra params are {shortened(repr(params), LONGEST_VALUE)}, not an object.",
            'Write an object such as {"rounds": 10}.',
        )
    return params


def refused_settings(extra_params: Mapping[str, Any]) -> dict[str, str]:
    """Why values are not allowed, by their settings; "" for what concerns several. Empty if all are."""
    known = {name: value for name, value in extra_params.items() if name in ProjectSettings.model_fields}
    try:
        _Environment(**known)
    except ValidationError as error:
        return {".".join(map(str, each["loc"])): reason_of(each) for each in error.errors(include_url=False)}
    return {}


def project_settings(extra_params: Mapping[str, Any] | str | None = None, where: str = EXTRA_PARAMS) -> ProjectSettings:
    """Reads a project's settings: extra params over the environment (``PT4AL_ROUNDS``, …) over the defaults.

    ``extra_params`` is what Label Studio sends: an object, a JSON text, or nothing.
    ``where`` is the remedy of an error: where the user changes a setting.

    Raises:
        ConfigError: not a JSON object, an unknown key, or a value that is not allowed.
    """

    params = as_object(extra_params)
    unknown = [str(key) for key in params if key not in ProjectSettings.model_fields]
    if unknown:  # checked here, because pydantic-settings takes keys of its own, which read files
        known_keys = ", ".join(ProjectSettings.model_fields)
        names = shortened(", ".join(map(repr, unknown)), LONGEST_VALUE)
        raise ConfigError(f"Unknown setting {names}; the settings are {known_keys}.", where)
    try:
        return ProjectSettings.model_validate(_Environment(**params).model_dump())
    except ValidationError as error:
        raise refusal(error, where, params) from None
