"""Labels of projects in which an image gets any number of choices.

An annotation that was submitted without a choice says that none of the classes is there; a skipped one says nothing. Several
annotations are reconciled by ``agreement``, each class by itself: the agreed set may be nobody's.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from pt4al_backend.aliases import Json
from pt4al_backend.config import ProjectSettings
from pt4al_backend.errors import LabelUnreadable
from pt4al_backend.images.frames import Shape
from pt4al_backend.label_sets import LabelSet, from_text, to_text
from pt4al_backend.label_studio.agreement import winner
from pt4al_backend.label_studio.annotations import Annotation, ModelAnswer, Size
from pt4al_backend.label_studio.classification import RENAMED, ChoicesReader, no_choice


class MultilabelReader(ChoicesReader):
    """A label is the text of a set of choices (see ``label_sets``)."""

    task = "multilabel"

    def _read(self, annotation: Annotation, size: Size | None, skipped: list[str]) -> str:  # noqa: ARG002 - choices have no size
        chosen = self._chosen(annotation)
        if unknown := [each for each in chosen if not self._is_known(each)]:
            raise LabelUnreadable(no_choice(unknown[0]), RENAMED)
        return to_text(chosen, self.config.labels)

    def _reconcile(self, read: Sequence[tuple[Annotation, str]]) -> tuple[str, list[Annotation], list[str]]:
        sets = [frozenset(from_text(text)) for _, text in read]
        agreed = [name for name in frozenset().union(*sets) if winner([name in each for each in sets])]
        label = to_text(agreed, self.config.labels)
        return label, [annotation for annotation, text in read if text == label] or [annotation for annotation, _ in read], []

    def unusable_reason(self, label: str, size: Size | None) -> str:  # noqa: ARG002 - choices have no size
        try:
            unknown = [name for name in from_text(label) if not self._is_known(name)]
        except ValueError:
            return no_choice(label)
        return no_choice(unknown[0]) if unknown else ""

    def missing_for_training(self, labels: Collection[str], options: ProjectSettings, shape: Shape) -> str:  # noqa: ARG002
        return "" if len(set(labels)) > 1 else "labels with a class that some images have and others have not"

    def count(self, labels: Iterable[str], classes: Collection[str]) -> dict[str, int]:
        found = Counter(name for text, times in Counter(labels).items() for name in from_text(text) * times)
        return {name: found[name] for name in classes if found[name]}

    def regions(self, answer: ModelAnswer, confidence: float | None, size: Size | None) -> list[Json]:
        """One region with all the choices, also if there are none: the editor marks it as accepted if it is submitted so."""
        text = answer.text if isinstance(answer, LabelSet) else str(answer)
        return [] if self.unusable_reason(text, size) else [self._region(from_text(text), confidence)]
