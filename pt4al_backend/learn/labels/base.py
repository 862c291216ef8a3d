"""Base of the label spaces: what the annotators' labels of a main task are to a model."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NotRequired, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.images.mask_files import Mask, MaskFiles
from pt4al_backend.label_sets import LabelSet

#: A model's answer for an image: the name of a class, a set of classes, or a mask at the size of the frame.
Answer = str | LabelSet | Mask
#: Confidences float64 [m] in [0, 1], low where the model is unsure, by the names of ``confidence.SAMPLERS``.
Confidences = dict[str, NDArray[np.float64]]


class Interval(TypedDict):
    """A metric, 0..1, with its 95 % confidence interval; all None where there is nothing to measure it on."""

    value: float | None
    low: float | None
    high: float | None


class ClassInterval(Interval):
    """The metric of one class, which so many images have."""

    picks: int


class Metrics(Interval):
    """How well a model did on images drawn uniformly: ``value`` is of the ``metric`` of that name, over ``total`` images.

    ``exact_match`` is the share of images whose whole set of classes is right, ``classes`` the metric of each class,
    ``balanced`` the mean over the classes of the share that is right.
    """

    metric: str
    total: int
    exact_match: NotRequired[Interval]
    classes: NotRequired[dict[str, ClassInterval]]
    balanced: NotRequired[float | None]


class Targets(Protocol):
    """What a model's outputs are compared with, one for each of some images; a numpy array is one."""

    def __getitem__(self, positions: NDArray[np.int64], /) -> NDArray[Any]: ...


class LabelSpace(ABC):
    """Turns labels into targets, a model's outputs into answers, and both into metrics."""

    name: ClassVar[str]
    #: Candidates whose answers are kept, the least confident (see ``learn.evaluation``); None keeps all.
    max_answers: ClassVar[int | None] = None
    classes: tuple[str, ...]

    @abstractmethod
    def targets(self, labels: Sequence[str], masks: MaskFiles | None, file: Path) -> Targets:
        """The target of each label: a class, a set of them, or a name among ``masks``. ``file`` may be used to keep targets in.

        Raises:
            TrainingImpossible: a label that this task does not know.
            StoreCorrupt: a mask is missing or damaged.
        """

    @abstractmethod
    def interpret(self, rows: tuple[NDArray[Any], ...]) -> tuple[Confidences, list[Answer]]:
        """Confidences and answers from rows of ``MainTask.predict``.

        Raises:
            TrainingImpossible: the model has diverged.
        """

    def posteriors(self, rows: tuple[NDArray[Any], ...]) -> NDArray[np.floating]:  # noqa: ARG002 - for those that have some
        """One posterior for each class and image, [m, C], from rows of ``MainTask.predict``.

        Raises:
            TrainingImpossible: this task has none (see ``catalog.MAIN_TASK_FACTS``).
        """
        raise TrainingImpossible(f"{self.name} has no posteriors of images.", "Set strategy in the extra params to another.")

    @abstractmethod
    def store(self, answer: Answer, masks: MaskFiles) -> str:
        """The text that stands for an answer: of a class or a set, or the mask's name once it is written into ``masks``."""

    @abstractmethod
    def tally(self, answers: Sequence[Answer], targets: NDArray[Any]) -> NDArray[Any]:
        """What the metrics need of each image, [m, ...]; tallies of several minibatches are concatenated."""

    @abstractmethod
    def metrics(self, tallies: NDArray[Any]) -> Metrics:
        """How well the model did on images drawn uniformly."""


def require_finite(posteriors: NDArray[np.floating]) -> None:
    """Raises TrainingImpossible if a model has diverged: some of its posteriors are no finite numbers."""
    if not np.isfinite(posteriors).all():
        raise TrainingImpossible("The model's posteriors are not all finite.", "Set learning_rate in the extra params to less.")
