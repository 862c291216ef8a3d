"""A project's settings: from the environment and its extra params.

Label Studio's *extra params* (the JSON field of the connection form) override the environment for one project. Unknown
keys and bad values are refused with a message that names key, value and what is allowed.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pt4al_backend.config.catalog import PRETEXTS, STRATEGIES
from pt4al_backend.config.refusal import refusal
from pt4al_backend.errors import ConfigError

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

EXTRA_PARAMS = "Change it in Label Studio, Settings > Model > Edit > Extra params, or in the environment (PT4AL_…)."


class ProjectSettings(BaseSettings):
    """One project's settings: extra params over the environment (``PT4AL_ROUNDS``, …) over the defaults."""

    model_config = SettingsConfigDict(env_prefix="PT4AL_", frozen=True, extra="forbid")

    preset: Literal["default", "paper"] = Field(
        "default", description="`paper` sets rounds, query, initial weights, epochs and schedule as published."
    )
    rounds: int = Field(10, ge=1, le=1000, description="I, the number of batches that the ranking is cut into.")
    query_size: int | None = Field(
        None, ge=1, le=1_000_000, description="K, tasks asked for in a round; empty: 2 % of the pool, at least 20."
    )
    reserve_size: int | None = Field(
        None, ge=0, le=1_000_000, description="Tasks published behind the query; empty: as many as the query."
    )
    control_share: float = Field(
        0.1, ge=0, le=0.5, description="Share of a query that is drawn uniformly and measures the model."
    )
    strategy: str = Field("pt4al", description="Rule that picks the query; `pt4al list` prints them.")
    first_query: str = Field(
        "stratified",
        pattern=r"^(stratified|hardest_batch|top_k|random|batch:[1-9][0-9]*)$",
        description="What is asked without a model: even intervals of the whole ranking, the paper's of the hardest batch, "
        "those of another batch (`batch:5`), the highest losses, or a uniform draw.",
    )
    sampler: Literal["least_confidence", "margin", "entropy", "k_center", "normalised_confidence"] = Field(
        "margin",
        description="What PT4AL asks first inside a batch: where the model is unsure (the paper: least confidence; its "
        "published code: that of normalised logits), or what covers the batch best.",
    )
    batch_order: Literal["hard_first", "easy_first", "interleaved"] = Field(
        "interleaved",
        description="Order in which PT4AL asks the batches: the hardest, the easiest, the second hardest, … (interleaved), or "
        "the paper's, hardest first.",
    )
    pretext: str | None = Field(
        None,
        description="Pretext task that ranks the pool; `pt4al list` prints them; empty: rotation for classification, "
        "colorization for segmentation.",
    )
    pretext_epochs: int = Field(15, ge=1, le=1000, description="Epochs of the pretext learner over the pool.")
    pretext_holdout: float = Field(
        0.1,
        ge=0,
        le=0.25,
        description="Share of the pool that the pretext learner does not train on, which tells what it has learned.",
    )
    encoder: Literal["resnet18", "resnet34", "resnet50", "resnet101", "mobilenet_v2"] | None = Field(
        None, description="Segmentation: the network under the segmenter; empty: resnet101 on a GPU, resnet18 on a CPU."
    )
    architecture: Literal["deeplabv3plus", "deeplabv3"] = Field("deeplabv3plus", description="Segmentation: the segmenter.")
    unlabelled: Literal["background", "ignore"] = Field(
        "background", description="Segmentation: pixels that nobody gave a class are the background's, or teach nothing."
    )
    background: str = Field("background", min_length=1, description="Segmentation: name of the class of unlabelled pixels.")
    uncertain_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Segmentation: share of an image's pixels, the least certain, that its confidence is the mean of.",
    )
    init: Literal["auto", "pretext", "imagenet", "fresh"] = Field(
        "auto", description="Weights that every round's training starts from; auto: the pretext learner's."
    )
    warm_start: bool = Field(False, description="Start from the previous round's weights instead.")
    epochs: int | None = Field(
        None, ge=1, le=10_000, description="Epochs of a round's training; empty: 100 on a GPU, 30 on a CPU."
    )
    companion_steps: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Steps that VAAL and TA-VAAL train their autoencoder; empty: as published on a GPU, 200 on a CPU.",
    )
    schedule: Literal["cosine", "step"] = Field("cosine", description="Learning rate over time; the paper's is step.")
    learning_rate: float | None = Field(
        None, gt=0, le=10, description="Highest learning rate; empty: 0.1 for fresh weights, 0.05 for others."
    )
    minibatch_size: int | None = Field(
        None,
        ge=2,
        le=65536,
        description="Images in one step of SGD; empty: 128, 8 for segmentation; halved when memory runs out.",
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="`balanced` weighs classes by their inverse frequency."
    )
    image_size: int | None = Field(
        None,
        ge=16,
        le=1024,
        description="Pixels of a side; empty: as imported up to 64, above it 224 on a GPU and 96 on a CPU. "
        "Segmentation: of the longer side; empty: 512 on a GPU and 128 on a CPU.",
    )
    width: int | None = Field(
        None, ge=8, le=256, description="Classification: channels of the first stage; empty: 64 on a GPU, 16 on a CPU."
    )
    show_predictions: bool = Field(True, description="Show the model's answer in the editor; control picks never show one.")
    train_on_accepted: bool = Field(True, description="Train on predictions that an annotator submitted unchanged.")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="Seed of everything random.")

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, given: dict[str, Any]) -> dict[str, Any]:
        return {**PAPER, **given} if given.get("preset") == "paper" else given

    @model_validator(mode="after")
    def _batch_exists(self) -> Self:
        number = self.first_query.partition(":")[2]
        if number and int(number) > self.rounds:
            raise ValueError(f"Setting 'first_query': there is no {self.first_query!r} where 'rounds' is {self.rounds}")
        return self


def project_settings(extra_params: Mapping[str, Any] | str | None = None, where: str = EXTRA_PARAMS) -> ProjectSettings:
    """Reads a project's settings; ``extra_params`` is what Label Studio sends: an object, a JSON text, or nothing.

    ``where`` is the remedy of an error: where the user changes a setting.

    Raises:
        ConfigError: not a JSON object, an unknown key, or a value that is not allowed.
    """

    params: Any = extra_params or {}
    if isinstance(params, str):
        try:
            params = json.loads(params)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"The extra params are not JSON ({error}).", 'Write an object such as {"rounds": 10}.') from error
    if not isinstance(params, Mapping):
        raise ConfigError(f"The extra params are {params!r}, not an object.", 'Write an object such as {"rounds": 10}.')
    unknown = [str(key) for key in params if key not in ProjectSettings.model_fields]
    if unknown:  # checked here, because pydantic-settings takes keys of its own, which read files
        known_keys = ", ".join(ProjectSettings.model_fields)
        raise ConfigError(f"Unknown setting {', '.join(map(repr, unknown))}; the settings are {known_keys}.", where)
    try:
        settings = ProjectSettings(**params)
    except ValidationError as error:
        raise refusal(error, where) from None
    for key, value, known in (("strategy", settings.strategy, STRATEGIES), ("pretext", settings.pretext, PRETEXTS)):
        if value is not None and value not in known:
            raise ConfigError(f"Setting {key!r}: {value!r} is not allowed; there are {', '.join(sorted(known))}.", where)
    return settings
