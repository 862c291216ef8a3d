"""Labels of projects in which an image gets one choice. Several annotations of a task are reconciled by ``agreement``."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from pt4al_backend.aliases import Json
from pt4al_backend.config import ProjectSettings
from pt4al_backend.errors import LabelUnreadable
from pt4al_backend.images.frames import Shape
from pt4al_backend.images.mask_files import Mask
from pt4al_backend.label_studio.agreement import winner
from pt4al_backend.label_studio.annotations import Annotation, LabelReader, Size, brief, regions_by
from pt4al_backend.label_studio.label_config import LabelConfig

#: What to do about labels of a class that is gone.
RENAMED = "If it was renamed, write the old name as the alias of the new choice in Settings > Labeling Interface."


class ClassificationReader(LabelReader):
    """A label is the choice's text."""

    task = "classification"
    page_size = 900

    def __init__(self, config: LabelConfig) -> None:
        super().__init__(config)
        self._known = frozenset(config.labels)

    def _read(self, annotation: Annotation, size: Size | None, skipped: list[str]) -> str:  # noqa: ARG002 - a choice has no size
        chosen: list[Any] = []
        for region in regions_by(annotation, self.config):
            value = region.get("value")
            choices = value.get("choices") if isinstance(value, dict) else None
            chosen.extend(choices if isinstance(choices, list) else [])
        name = self.config.from_name
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

    def classes(self, options: ProjectSettings) -> tuple[str, ...]:  # noqa: ARG002 - the config alone says it
        return self.config.labels

    def unusable_reason(self, label: str, size: Size | None) -> str:  # noqa: ARG002 - a choice has no size
        known = isinstance(label, str) and label in self._known
        return "" if known else f"Submitted as {brief(label)}, which is no choice of the labeling config (any more)."

    def missing_for_training(self, labels: Collection[str], options: ProjectSettings, shape: Shape) -> str:  # noqa: ARG002
        return "" if len(set(labels)) > 1 else "labels of two classes or more"

    def count(self, labels: Iterable[str], classes: Collection[str]) -> dict[str, int]:
        found = Counter(labels)
        return {name: found[name] for name in classes if found[name]}

    def regions(self, answer: str | Mask, confidence: float | None, size: Size | None) -> list[Json]:  # noqa: ARG002
        if not isinstance(answer, str) or answer not in self._known:
            return []
        names = {"from_name": self.config.from_name, "to_name": self.config.to_name}
        region = {**names, "type": "choices", "value": {"choices": [answer]}}
        return [region if confidence is None else {**region, "score": confidence}]
