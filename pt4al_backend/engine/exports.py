"""What a project can be taken away as: tables, part by part, so that memory is that of a part and of the pool's columns."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.aliases import Ids
from pt4al_backend.artefacts import HEAD
from pt4al_backend.config.catalog import LABEL_SPACES
from pt4al_backend.engine import served_model
from pt4al_backend.engine.snapshot import PoolFeatures, Snapshot
from pt4al_backend.errors import NotNow
from pt4al_backend.jobs.manifest import ModelManifest
from pt4al_backend.label_sets import LabelSet
from pt4al_backend.learn.frozen.heads import LinearHead
from pt4al_backend.learn.labels.image_labels import ImageLabels
from pt4al_backend.state.schema import AnswerKind

NO_MODEL = ("There is no model yet.", "Label the first round; the overview shows how many labels are missing.")

#: Rows of a part.
PART = 2_000

#: Some rows of a table, by column: float and int arrays [n], float [n, d] for a vector in each row, or lists of texts and None.
Rows = Mapping[str, NDArray[Any] | list[str | None]]


class Table(StrEnum):
    """The tables that there are."""

    RANKING = "ranking"
    SPLITS = "splits"
    PREDICTIONS = "predictions"
    FEATURES = "features"


def parts(snapshot: Snapshot, table: Table) -> Iterator[Rows]:
    """The table's parts, at least one, each with the same columns; the first comes once it is known that there is a table.

    Raises:
        NotNow: there is no such table yet, and why.
        StoreCorrupt: the model is damaged.
    """
    match table:
        case Table.RANKING:
            return _ranking(snapshot)
        case Table.SPLITS:
            return _splits(snapshot)
        case Table.PREDICTIONS:
            return _predictions(snapshot)
        case Table.FEATURES:
            return _features(snapshot)


def _slices(count: int) -> Iterator[slice]:
    """Where each part begins and ends; one that is empty if there is nothing."""
    for start in range(0, max(count, 1), PART):
        yield slice(start, start + PART)


def _ranking(snapshot: Snapshot) -> Iterator[Rows]:
    """Ranked tasks, the highest pretext loss first: the place in the ranking, the loss, and PT4AL's batch, 0 for none."""
    tasks = snapshot.tasks
    ranked = tasks.where(np.isfinite(tasks.losses))
    if not len(ranked):
        raise NotNow("The pool is not ranked yet.", "Wait until it is: the overview shows how far it is.")
    order = np.lexsort((ranked.ids, -ranked.losses))
    for part in _slices(len(order)):
        places = order[part]
        yield {
            "task": ranked.ids[places],
            "rank": np.arange(part.start, part.start + len(places)) + 1,
            "loss": ranked.losses[places],
            "batch": ranked.batches[places],
        }


def _splits(snapshot: Snapshot) -> Iterator[Rows]:
    """Every task: what it is used for, its label, and the task whose identical image it repeats."""
    tasks = snapshot.tasks
    labels = snapshot.labels(train_on_accepted=snapshot.options.train_on_accepted)
    controls = frozenset(snapshot.store.control_ids(snapshot.project.id).tolist())
    for part in _slices(len(tasks)):
        some = tasks.ids[part].tolist()
        aside = tasks.aside[part].tolist()
        answers = snapshot.store.answers(snapshot.project.id, some)

        def split_of(task: int, is_aside: bool, answers: Mapping[int, Any] = answers) -> str:
            if is_aside:
                return "set aside"
            if task in controls:
                return "control"
            if task in labels.train:
                return "train"
            kind = answers[task].answer if task in answers else AnswerKind.NONE
            return {AnswerKind.LABEL: "not used", AnswerKind.SKIP: "skipped"}.get(kind, "unlabelled")

        yield {
            "task": tasks.ids[part],
            "split": [split_of(task, each) for task, each in zip(some, aside, strict=True)],
            "label": [answers[task].label or None if task in answers else None for task in some],
            "is_labelled": tasks.labelled[part],
            "same_as": tasks.origins[part],
        }


def _predictions(snapshot: Snapshot) -> Iterator[Rows]:
    """The served model's answers: to every image that has features, or else to those that it scored after its training."""
    model = served_model.folder(snapshot.settings.data_dir, snapshot.project)
    if model is None:
        raise NotNow(*NO_MODEL)
    if (model / HEAD).exists():
        manifest = ModelManifest.read(model)
        with snapshot.features() as features:
            if features is not None and features.suit(manifest):
                yield from _by_head(model, manifest, features)
                return
    scored = served_model.all_answers(model)
    there = np.flatnonzero(np.isin(scored.ids, snapshot.tasks.ids))
    for part in _slices(len(there)):
        places = there[part]
        answers = [str(label) or None for label in scored.labels[places].tolist()]
        yield {"task": scored.ids[places], "answer": answers, "confidence": scored.confidences[places]}


def _by_head(model: Path, manifest: ModelManifest, features: PoolFeatures) -> Iterator[Rows]:
    space = LABEL_SPACES.load(manifest.task, ImageLabels)(manifest.classes)
    head = LinearHead.load(model / HEAD)
    for part in _slices(len(features)):
        positions = np.arange(len(features))[part]
        confidences, answers = space.interpret((space.posteriors_of(head.logits(features.read(positions)) / head.temperature),))
        texts: list[str | None] = [each.text if isinstance(each, LabelSet) else str(each) for each in answers]
        yield {"task": features.ids[part], "answer": texts, "confidence": confidences["least_confidence"]}


def _features(snapshot: Snapshot) -> Iterator[Rows]:
    """The features of every image that has some."""
    with snapshot.features() as features:
        if features is None or not len(features):
            raise NotNow(
                "There are no features yet: the ranking of the pool computes them.",
                "Set encoder in the extra params to a pretrained one, or wait for the ranking.",
            )
        for part in _slices(len(features)):
            positions = np.arange(len(features))[part]
            ids: Ids = features.ids[part]
            yield {"task": ids, "features": features.read(positions).astype(np.float32)}
