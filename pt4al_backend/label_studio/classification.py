"""Labels of projects in which an image gets one choice. Several annotations of a task are reconciled by ``agreement``."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from pt4al_backend.aliases import Json
from pt4al_backend.config import ProjectSettings
from pt4al_backend.errors import LabelUnreadable
from pt4al_backend.images.frames import Shape
from pt4al_backend.label_studio.agreement import winner
from pt4al_backend.label_studio.annotations import Annotation, LabelReader, ModelAnswer, Size, brief, regions_by
from pt4al_backend.label_studio.label_config import LabelConfig

#: What to do about labels of a class that is gone.
RENAMED = "If it was renamed, write the old name as the alias of the new choice in Settings > Labeling Interface."
AGAIN = "Submit it again in Label Studio, or delete it there."


class ChoicesReader(LabelReader):
    """What one choice and several have in common."""

    page_size = 900

    def __init__(self, config: LabelConfig) -> None:
        super().__init__(config)
        self._known = frozenset(config.labels)

    def classes(self, options: ProjectSettings) -> tuple[str, ...]:  # noqa: ARG002 - the config alone says it
        return self.config.labels

    def _chosen(self, annotation: Annotation) -> list[Any]:
        """All that was chosen, whatever it is.

        Raises:
            LabelUnreadable: it does not say so in lists, which is not the same as choosing nothing.
        """
        if not isinstance(annotation.get("result"), list):
            raise LabelUnreadable("The annotation has no list of regions.", AGAIN)
        chosen: list[Any] = []
        for region in regions_by(annotation, self.config):
            value = region.get("value")
            choices = value.get("choices") if isinstance(value, dict) else None
            if not isinstance(choices, list):
                raise LabelUnreadable(f"A region of {region['from_name']!r} has no list of choices: {brief(value)}.", AGAIN)
            chosen.extend(choices)
        return chosen

    def _is_known(self, choice: Any) -> bool:
        return isinstance(choice, str) and choice in self._known

    def _region(self, choices: Sequence[str], confidence: float | None) -> Json:
        names = {"from_name": self.config.from_name, "to_name": self.config.to_name}
        region = {**names, "type": "choices", "value": {"choices": list(choices)}}
        return region if confidence is None else {**region, "score": confidence}


class ClassificationReader(ChoicesReader):
    """A label is the choice's text."""

    task = "classification"

    def _read(self, annotation: Annotation, size: Size | None, skipped: list[str]) -> str:  # noqa: ARG002 - a choice has no size
        chosen, name = self._chosen(annotation), self.config.from_name
        if not chosen:
            raise LabelUnreadable(f"Submitted without a choice in {name!r}.")
        if len(chosen) > 1:
            raise LabelUnreadable(f"Submitted with several choices in {name!r}: {brief(chosen)}.")
        label = chosen[0]
        if problem := self.unusable_reason(label, None):
            raise LabelUnreadable(problem, RENAMED)
        return str(label)

    def _reconcile(self, read: Sequence[tuple[Annotation, str]]) -> tuple[str, list[Annotation], list[str]]:
        label = winner([given for _, given in read])
        return label, [annotation for annotation, given in read if given == label], []

    def unusable_reason(self, label: str, size: Size | None) -> str:  # noqa: ARG002 - a choice has no size
        return "" if self._is_known(label) else no_choice(label)

    def missing_for_training(self, labels: Collection[str], options: ProjectSettings, shape: Shape) -> str:  # noqa: ARG002
        return "" if len(set(labels)) > 1 else "labels of two classes or more"

    def count(self, labels: Iterable[str], classes: Collection[str]) -> dict[str, int]:
        found = Counter(labels)
        return {name: found[name] for name in classes if found[name]}

    def regions(self, answer: ModelAnswer, confidence: float | None, size: Size | None) -> list[Json]:  # noqa: ARG002
        return [self._region([str(answer)], confidence)] if self._is_known(answer) else []


def no_choice(label: object) -> str:
    """Says that a label is no choice of the labeling config."""
    return f"Submitted as {brief(label)}, which is no choice of the labeling config (any more)."
