"""Labels of projects in which annotators draw the classes of an image.

A label is the name of a mask. Several annotations of a task are reconciled pixel by pixel (see ``votes``).
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np

from pt4al_backend.aliases import Json
from pt4al_backend.config import ProjectSettings
from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.images.frames import Shape, fit_ids, restore_ids
from pt4al_backend.images.mask_files import UNLABELLED, Mask, MaskFiles, id_of, size_of
from pt4al_backend.label_studio import outlines
from pt4al_backend.label_studio.annotations import Annotation, Find, LabelReader, ModelAnswer, Size, regions_by
from pt4al_backend.label_studio.label_config import SegmentationConfig
from pt4al_backend.label_studio.votes import ANY_SIZE, Vote, claimed_shape, majority

log = logging.getLogger(__name__)

LEAST_LABELS = 2  # a training needs two images


class SegmentationReader(LabelReader):
    """A label is the name of a mask among ``drawn``; what the last model left lies among ``predicted()``."""

    task = "segmentation"
    page_size = 50
    config: SegmentationConfig

    def __init__(self, config: SegmentationConfig, drawn: MaskFiles, predicted: Callable[[], MaskFiles], max_pixels: int) -> None:
        super().__init__(config)
        self._drawn, self._predicted, self._max_pixels = drawn, predicted, max_pixels

    def _read(self, annotation: Annotation, size: Size | None, skipped: list[str]) -> Vote:
        drawing = outlines.mask_of(annotation, self.config, max_pixels=self._max_pixels, size=size)
        skipped += drawing.skipped
        return Vote.of(drawing.ids)

    def _reconcile(self, read: Sequence[tuple[Annotation, Vote]]) -> tuple[str, list[Annotation], list[str]]:
        height, width = claimed_shape([vote for _, vote in read])
        fitting = [(annotation, vote) for annotation, vote in read if vote.fits((height, width))]
        mask = majority([vote for _, vote in fitting])
        problems = [
            f"Drawn on an image of {vote.shape[1]:,} x {vote.shape[0]:,} pixels, but the others say {width:,} x {height:,}. "
            "Draw the annotation again, or delete it in Label Studio."
            for _, vote in read
            if not vote.fits((height, width))
        ]
        return self._drawn.put(Mask(mask)), [annotation for annotation, _ in fitting], problems

    def _is_accepted(self, annotation: Annotation, find: Find) -> bool:
        """Whether an annotation repeats all of a prediction.

        A region that was deleted leaves no mark on the others: those that are left are compared with the prediction's. What
        became of each outline the marks tell; the editor may draw it again and pack it otherwise. Once the prediction is
        deleted, the marks decide alone.
        """
        if not super()._is_accepted(annotation, find):
            return False
        parent = annotation.get("parent_prediction")
        shown = find(parent) if isinstance(parent, int) else None
        return shown is None or self._labels_in(shown) == self._labels_in(annotation)

    def _labels_in(self, annotation: Annotation) -> list[str]:
        """What the regions of an annotation or a prediction are labelled."""
        values = [(str(region.get("type")), region.get("value")) for region in regions_by(annotation, self.config)]
        return sorted(str(value.get(kind)) for kind, value in values if isinstance(value, dict))

    def classes(self, options: ProjectSettings) -> tuple[str, ...]:
        labels = self.config.labels
        needs_background = options.unlabelled == "background" and id_of(options.background, labels) is None
        return (*labels, options.background) if needs_background else labels

    def unusable_reason(self, label: str, size: Size | None) -> str:
        drawn = size_of(label)
        if size is None or drawn in (ANY_SIZE, size):
            return ""
        return (
            f"Drawn on an image of {drawn[0]} x {drawn[1]} pixels, but the image has {size[0]} x {size[1]}. "
            "Was it replaced? Draw the annotation again."
        )

    def missing_for_training(self, labels: Collection[str], options: ProjectSettings, shape: Shape) -> str:
        if len(labels) < LEAST_LABELS:
            return "two labelled images or more"
        if options.unlabelled == "ignore" and len(self.config.labels) == 1:
            return "two classes: there is one label, and unlabelled pixels are ignored (extra params: unlabelled)"
        background = None if options.unlabelled == "ignore" else id_of(options.background, self.classes(options))
        found: set[int | None] = set()
        for label in labels:
            try:
                ids = fit_ids(self._drawn.get(label).ids, shape)
            except StoreCorrupt as error:
                log.warning("A label is passed over. %s", error)
                continue
            found |= {background if each == UNLABELLED else each for each in np.unique(ids).tolist()} - {None}
            if len(found) > 1:
                return ""
        return "labels of two classes or more"

    def count(self, labels: Iterable[str], classes: Collection[str]) -> dict[str, int]:
        found: Counter[str] = Counter()
        for label in labels:
            try:
                ids = np.unique(self._drawn.get(label).ids).tolist()
            except StoreCorrupt:
                continue  # it is read again by whatever config is in force
            found.update(self.config.labels[each] for each in ids if each < len(self.config.labels))
        return {name: found[name] for name in classes if found[name]}

    def holds(self, label: str) -> bool:
        return not label or self._drawn.has(label)

    def keep_only(self, labels: Iterable[str]) -> None:
        self._drawn.prune({label for label in labels if label})

    def forget_damaged(self) -> None:
        self._drawn.forget_damaged()

    def regions(self, answer: ModelAnswer, confidence: float | None, size: Size | None) -> list[Json]:  # noqa: ARG002 - each has its own
        if not isinstance(answer, str | Mask) or not answer or size is None:
            return []
        try:
            mask = self._predicted().get(answer) if isinstance(answer, str) else answer
        except StoreCorrupt as error:
            log.warning("A prediction is served without its drawing. %s", error)
            return []
        known = self._translated(mask)
        return outlines.regions_of(Mask(restore_ids(known.ids, size), known.scores), self.config)

    def _translated(self, mask: Mask) -> Mask:
        """The mask with the ids of this config's labels; classes that it does not list (any more) show nothing."""
        labels = self.config.labels
        new = {old: labels.index(name) for old, name in enumerate(mask.classes) if name in labels}
        table = np.full(UNLABELLED + 1, UNLABELLED, np.uint8)
        table[list(new)] = list(new.values())
        return Mask(table[mask.ids], {new[old]: score for old, score in mask.scores.items() if old in new})
