"""What is measured of a ranking and of a model. The state and the artefacts keep these as JSON, and the API shows them.

An entry that is missing has its default, and one that is unknown is left out: other versions may have written it.
"""

from pydantic import BaseModel, ConfigDict, Field


class PretextQuality(BaseModel):
    """Whether the pretext losses of a project mean anything; all defaults before the ranking."""

    model_config = ConfigDict(frozen=True)

    accuracy: float | None = Field(default=None, description="of the pretext task, 0..1; null if it has none")
    chance: float | None = Field(default=None, description="the accuracy without learning")
    spread: float | None = Field(default=None, description="standard deviation of the losses")
    meaningful: bool = False
    reason: str = Field(default="", description="a sentence for the user, empty if the ranking is meaningful")


class Measured(BaseModel):
    """A measure 0..1, None where there was nothing to measure; ``low`` and ``high`` bound its 95 % interval."""

    model_config = ConfigDict(frozen=True)

    value: float | None = None
    low: float | None = None
    high: float | None = None


class ClassMeasured(Measured):
    """The measure of one class."""

    picks: int | None = Field(default=None, description="control picks that have the class; null if an earlier version measured")


class Control(Measured):
    """The model on ``total`` control picks, which it was never trained on; without a metric if there is no model."""

    metric: str = Field(default="", description="accuracy; mAP for several choices; mIoU for segmentation")
    total: int = 0
    exact_match: Measured | None = Field(default=None, description="for several choices: share of picks whose whole set is right")
    classes: dict[str, ClassMeasured] = Field(
        default_factory=dict,
        description="of each class, the share of its control picks that is right, the average precision for several choices, the "
        "IoU for segmentation; a class that no control pick has is not there, or has no value, and the mean leaves it out",
    )


class FullModel(BaseModel):
    """The model whose encoder is trained too, where one is served beside rounds of heads; all defaults if none is.

    Attributes:
        model: its artefact, below the data folder.
        labels: that it has learned.
        later: images that it has answered which came after its training.
        comparison: the one that decided whether it is served, below the data folder; the only one that is there without a model.
    """

    model_config = ConfigDict(frozen=True)

    model: str = ""
    labels: int = 0
    later: int = 0
    comparison: str = ""
    control: Control = Control()
