"""Annotations to labels, labels to predictions, for projects in which an image gets one choice.

Several annotations of a task are reconciled by majority; of equally many, the label whose newest annotation is newest wins.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pt4al_backend.errors import ImageUnreadable
from pt4al_backend.label_studio.label_config import ClassificationConfig

#: Key of the image in tasks that were uploaded before the project had a labeling config.
UNDEFINED = "$undefined$"


@dataclass(frozen=True)
class Answer:
    """What the annotators say about one task.

    Attributes:
        kind: "label"; "skip" if it was answered without a label that counts, which Label Studio does not ask for again; "none".
        label: the choice, if ``kind`` is "label".
        accepted: everybody who chose it submitted the model's prediction unchanged.
        problem: a sentence for the user about an annotation that does not count, if there is one.
    """

    kind: Literal["label", "skip", "none"]
    label: str | None = None
    accepted: bool = False
    problem: str | None = None


def answer_of(annotations: Iterable[Mapping[str, Any]], config: ClassificationConfig) -> Answer:
    """Reconciles the annotations of one task."""
    votes: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    problem: str | None = None
    answered = False
    for annotation in annotations:
        answered = True
        if annotation.get("was_cancelled"):
            continue
        label, trouble = _choice(annotation, config)
        problem = problem or trouble
        if label is not None:
            votes[label].append(annotation)
    if not votes:
        return Answer("skip" if answered else "none", problem=problem)
    label = max(votes, key=lambda each: (len(votes[each]), max(map(_age, votes[each]))))
    return Answer("label", label, all(_is_accepted(annotation, config) for annotation in votes[label]), problem)


def choice_result(config: ClassificationConfig, label: str, posterior: float | None) -> dict[str, Any]:
    """One region of a prediction, as Label Studio's editor shows it.

    Args:
        posterior: the model's probability of ``label``, if known; the editor shows it beside the choice.
    """
    region = {"from_name": config.from_name, "to_name": config.to_name, "type": "choices", "value": {"choices": [label]}}
    return region if posterior is None else {**region, "score": posterior}


def prediction(
    config: ClassificationConfig, task_id: int, label: str | None, score: float, posterior: float | None, model_version: str
) -> dict[str, Any]:
    """A prediction to import.

    Args:
        label: what the editor shows; None shows nothing.
        score: place in the queue: lowest is served first.
        posterior: the model's probability of ``label``, if known.

    Raises:
        ValueError: a score that Label Studio would drop without a word, and the prediction with it.
    """
    if not 0 <= score <= 1:
        raise ValueError(f"score {score!r} of task {task_id} is not within [0, 1]")
    result = [] if label is None else [choice_result(config, label, posterior)]
    return {"task": task_id, "result": result, "score": score, "model_version": model_version}


def image_of(task_data: Mapping[str, Any], config: ClassificationConfig) -> str:
    """Address of a task's image.

    Raises:
        ImageUnreadable: the task has none.
    """
    key = config.image_key
    value = task_data.get(key, task_data.get(UNDEFINED))
    if isinstance(value, str) and value.strip():
        return value.strip()
    found = f"it holds {type(value).__name__}, not text" if value else "it is missing or empty"
    raise ImageUnreadable(
        f"The task has no image in the field {key!r}: {found}.",
        f'Import the task again with "{key}" set to the image\'s address.',
    )


def _choice(annotation: Mapping[str, Any], config: ClassificationConfig) -> tuple[str | None, str | None]:
    """The label that an annotation stands for, or why it stands for none."""
    chosen: list[Any] = []
    for region in _regions(annotation, config):
        value = region.get("value")
        choices = value.get("choices") if isinstance(value, dict) else None
        chosen.extend(choices if isinstance(choices, list) else [])
    if not chosen:
        return None, f"Submitted without a choice in {config.from_name!r}."
    if len(chosen) > 1:
        return None, f"Submitted with several choices in {config.from_name!r}: {', '.join(map(repr, chosen))}."
    if chosen[0] not in config.labels:
        return None, f"Submitted as {chosen[0]!r}, which is no choice of the labeling config (any more)."
    return chosen[0], None


def _regions(annotation: Mapping[str, Any], config: ClassificationConfig) -> list[dict[str, Any]]:
    result = annotation.get("result")
    regions = [region for region in result if isinstance(region, dict)] if isinstance(result, list) else []
    return [region for region in regions if region.get("from_name") == config.from_name]


def _is_accepted(annotation: Mapping[str, Any], config: ClassificationConfig) -> bool:
    """Whether an annotation repeats a prediction.

    Label Studio's editor marks a region as "prediction" if it was submitted as shown, as "prediction-changed" or "manual"
    otherwise. The link to the prediction alone would not do: it stays when the choice is changed, and goes when the
    prediction is deleted. Predictions turned into annotations in bulk have the link and no mark.
    """
    origins = {region.get("origin") for region in _regions(annotation, config)}
    return origins == {"prediction"} or (origins == {None} and annotation.get("parent_prediction") is not None)


def _age(annotation: Mapping[str, Any]) -> tuple[str, int]:
    """Sorts annotations, the newest last; Label Studio writes all times alike, in UTC."""
    return str(annotation.get("updated_at") or ""), int(annotation.get("id") or 0)
