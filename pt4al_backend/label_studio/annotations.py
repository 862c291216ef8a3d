"""Annotations to labels, labels to predictions: what every kind of project has in common.

A label is a text that the state keeps: a class's name, a set of them, or the name of a mask. What it takes to read one from an
annotation and to show one in the editor is a ``LabelReader``'s, of which there is one for each main task.
"""

import re
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pt4al_backend.aliases import Json
from pt4al_backend.config import ProjectSettings
from pt4al_backend.errors import ImageUnreadable, LabelUnreadable
from pt4al_backend.images.frames import Shape
from pt4al_backend.images.mask_files import Mask
from pt4al_backend.label_sets import LabelSet
from pt4al_backend.label_studio.agreement import decisive
from pt4al_backend.label_studio.label_config import LabelConfig

#: Key of the image in tasks that were uploaded before the project had a labeling config.
UNDEFINED = "$undefined$"

#: Letters of what an annotation says that a message repeats.
LEGIBLE = 60

_NO_TEXT = re.compile("[\\0\\ud800-\\udfff]")  # what JSON may hold and the state cannot keep
_SHORT = reprlib.Repr()  # neither too long nor too deep, and all printable: a lone surrogate could not be kept
_SHORT.maxstring = _SHORT.maxother = 3 * LEGIBLE

Annotation = Mapping[str, Any]
Size = tuple[int, int]  # of an image: width, height
#: What a model says of an image: a class's name, a set of classes, a mask; or the text that a model left for one of these.
ModelAnswer = str | LabelSet | Mask

#: Finds a prediction by its id; None if it was deleted.
Find = Callable[[int], Json | None]


@dataclass(frozen=True)
class Answer:
    """What the annotators say about one task; several are reconciled by the rule of ``agreement``.

    Attributes:
        kind: "label"; "skip" if it was answered without a label that counts, which Label Studio does not ask for again; "none".
        label: what the state keeps, if ``kind`` is "label".
        accepted: everybody who gave it submitted the model's prediction unchanged.
        problem: a sentence for the user about an annotation that does not count, or not all of it, if there is one.
        waits: it can be read once the image was fetched.
    """

    kind: Literal["label", "skip", "none"]
    label: str | None = None
    accepted: bool = False
    problem: str | None = None
    waits: bool = False


class SizeUnknown(LabelUnreadable):
    """An annotation does not say the size of its image: it can be read once the image is known."""


class LabelReader(ABC):
    """How the labels of one project are read and shown."""

    #: The main task that they teach.
    task: str
    #: Tasks of one page when annotations are read; whole drawings are a thousand times longer than a choice.
    page_size: int

    def __init__(self, config: LabelConfig) -> None:
        self.config = config

    def answer_of(self, annotations: Iterable[Annotation], find: Find = lambda _: None, size: Size | None = None) -> Answer:
        """Reconciles the annotations of one task.

        Args:
            find: finds the predictions that they may repeat.
            size: of the task's image, if it was fetched.
        """
        read: list[tuple[Annotation, Any]] = []
        problems: list[str] = []
        skipped: list[str] = []
        answered = waits = False
        for annotation in sorted(annotations, key=_age):
            answered = True
            if annotation.get("was_cancelled"):
                continue
            try:
                read.append((annotation, self._read(annotation, size, skipped)))
            except SizeUnknown as error:
                problems.append(str(error))
                waits = True
            except LabelUnreadable as error:
                problems.append(str(error))
        if not read:
            return Answer("skip" if answered else "none", problem=problems[0] if problems else None, waits=waits)
        submitted = len(read) + len(problems)
        label, givers, unusable = self._reconcile(decisive(read))
        problems += unusable
        accepted = all(self._is_accepted(annotation, find) for annotation in givers)
        notes = [*([_left_out(problems, submitted)] if problems else []), *([_skipped(skipped)] if skipped else [])]
        return Answer("label", label, accepted, " ".join(notes) or None, waits)

    @abstractmethod
    def _read(self, annotation: Annotation, size: Size | None, skipped: list[str]) -> Any:
        """What one annotation of an image of that size says; adds to ``skipped`` why parts of it say nothing.

        Raises:
            SizeUnknown: it can be read once the size is known.
            LabelUnreadable: nothing that counts, and why.
        """

    @abstractmethod
    def _reconcile(self, read: Sequence[tuple[Annotation, Any]]) -> tuple[str, list[Annotation], list[str]]:
        """The label that annotations stand for together, those that gave it, and why others cannot be counted with them.

        ``read`` is not empty, the newest is last.
        """

    @abstractmethod
    def classes(self, options: ProjectSettings) -> tuple[str, ...]:
        """The classes that a model learns from the labels."""

    @abstractmethod
    def unusable_reason(self, label: str, size: Size | None) -> str:
        """Why a label cannot be learned from, "" if it can; ``size`` is its image's, if that was fetched."""

    @abstractmethod
    def missing_for_training(self, labels: Collection[str], options: ProjectSettings, shape: Shape) -> str:
        """What is missing before a model can be trained on ``labels``, "" if nothing is; ``shape`` is what it sees."""

    @abstractmethod
    def count(self, labels: Iterable[str], classes: Collection[str]) -> dict[str, int]:
        """How many of the labels hold each of these classes; classes that none holds are left out."""

    def holds(self, label: str) -> bool:  # noqa: ARG002 - most labels are kept in the state alone
        """Whether all that belongs to a label is there; if not, the annotations are read again."""
        return True

    @abstractmethod
    def regions(self, answer: ModelAnswer, confidence: float | None, size: Size | None) -> list[Json]:
        """What the editor shows of a model's answer, as regions of a prediction; none if it shows nothing.

        Args:
            answer: the model's.
            confidence: the model's least confidence, if known; the editor shows it.
            size: of the image, which a mask is stretched to; nothing is drawn on an image of unknown size.
        """

    def keep_only(self, labels: Iterable[str]) -> None:  # noqa: B027 - most labels are kept in the state alone
        """Deletes what is kept beside the state of labels other than these."""

    def forget_damaged(self) -> None:  # noqa: B027 - as above
        """Deletes what is kept beside the state of labels and is damaged; ``holds`` no longer finds it."""

    def _is_accepted(self, annotation: Annotation, find: Find) -> bool:  # noqa: ARG002 - of one region the mark says it all
        """Whether an annotation repeats a prediction, by its marks.

        Label Studio's editor marks a region as "prediction" if it was submitted as shown, as "prediction-changed" or "manual"
        otherwise. The link to the prediction alone would not do: it stays when the label is changed, and goes when the
        prediction is deleted. Predictions turned into annotations in bulk have the link and no mark.
        """
        origins = [region.get("origin") for region in regions_by(annotation, self.config)]
        unmarked = annotation.get("parent_prediction") is not None and all(origin is None for origin in origins)
        return bool(origins) and (unmarked or all(origin == "prediction" for origin in origins))


def brief(value: object) -> str:
    """What an annotation holds, as a message repeats it, whatever it is."""
    text = _SHORT.repr(value)
    return text if len(text) <= LEGIBLE else f"{text[:LEGIBLE]}…"


def regions_by(annotation: Annotation, config: LabelConfig) -> list[Json]:
    """The regions of an annotation that the tags made which are learned."""
    result = annotation.get("result")
    regions = [region for region in result if isinstance(region, dict)] if isinstance(result, list) else []
    return [region for region in regions if region.get("from_name") in config.names]


def prediction(task_id: int, regions: Sequence[Json], score: float, model_version: str) -> Json:
    """A prediction to import.

    Args:
        regions: what the editor shows.
        score: place in the queue: lowest is served first.

    Raises:
        ValueError: a score that Label Studio would drop without a word, and the prediction with it.
    """
    if not 0 <= score <= 1:
        raise ValueError(f"score {score!r} of task {task_id} is not within [0, 1]")
    return {"task": task_id, "result": list(regions), "score": score, "model_version": model_version}


def image_of(task_data: Mapping[str, Any], config: LabelConfig) -> str:
    """Address of a task's image.

    Raises:
        ImageUnreadable: the task has none.
    """
    key = config.image_key
    value = task_data.get(key, task_data.get(UNDEFINED))
    if not isinstance(value, str):
        found = f"it holds {type(value).__name__}, not text" if value else "it is missing or empty"
    elif _NO_TEXT.search(value):
        found = f"{brief(value)} holds characters that no address has"
    elif address := value.strip():
        return address
    else:
        found = "it is missing or empty"
    raise ImageUnreadable(
        f"The task has no image in the field {key!r}: {found}.",
        f'Import the task again with "{key}" set to the image\'s address.',
    )


def _left_out(problems: Sequence[str], annotations: int) -> str:
    are = "is" if len(problems) == 1 else "are"
    return f"{len(problems)} of {annotations} annotations {are} left out, the others count. {problems[0]}"


def _skipped(regions: Sequence[str]) -> str:
    what = "1 region covers" if len(regions) == 1 else f"{len(regions)} regions cover"
    return f"{what} no pixel, the others count. {regions[0]}"


def _age(annotation: Annotation) -> tuple[str, int]:
    """Sorts annotations, the newest last; Label Studio writes all times alike, in UTC."""
    stamp, number = annotation.get("updated_at"), annotation.get("id")
    return stamp if isinstance(stamp, str) else "", number if isinstance(number, int) else 0
