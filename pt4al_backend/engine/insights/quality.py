"""The quality of a project's labels and images: suspected label errors, near-duplicates, class balance, the model's mistakes.

Computed after a training, in the background. Near-duplicates are searched again only where images came.
"""

import logging
import time
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.aliases import Ids
from pt4al_backend.analysis import label_errors, near_duplicates
from pt4al_backend.analysis.label_errors import Learn, Posteriors
from pt4al_backend.analysis.nearest_labelled import NeighbourVotes
from pt4al_backend.artefacts import HEAD
from pt4al_backend.config.catalog import LABEL_SPACES, TaskName
from pt4al_backend.engine import served_model, staleness
from pt4al_backend.engine.insights.quality_file import Facts, Grouped, Judged, Labels, Quality
from pt4al_backend.engine.labels import LabelSplit
from pt4al_backend.engine.snapshot import PoolFeatures, Snapshot
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.jobs.image_vectors import MadeBy
from pt4al_backend.label_sets import from_text, to_text
from pt4al_backend.learn.evaluation import CONTROL_ANSWERS
from pt4al_backend.learn.frozen.heads import LinearHead, Standard
from pt4al_backend.learn.labels.image_labels import ImageLabels
from pt4al_backend.state.schema import AnswerKind
from pt4al_backend.threads import one_thread

log = logging.getLogger(__name__)

#: Of what is computed: older artefacts are made again.
VERSION = "1"
#: Coefficients times labels up to which heads are learned, some 20 s each; above it neighbours vote.
MOST_PRODUCTS = 2 * 10**9
#: Images that the standard of features is taken from.
MOST_STANDARD = 4_000

FEW_LABELS = "There are too few labels yet: it takes two of each of two classes."
NO_CLASSES = "A mask has a class for every pixel, so it is no label of the whole image that could be compared."
NO_MODEL = "There is no model yet that control picks were answered by."


def refresh(snapshot: Snapshot) -> None:
    """Computes the quality of a project, if a training, new images or another labeling config came since."""
    key = _key(snapshot)
    known = Quality.load(snapshot.folder)
    if known is not None and known.facts.key == key.all:
        return
    start = time.monotonic()
    snapshot.require()
    names = _Names(snapshot)
    split = snapshot.labels(train_on_accepted=True)
    with one_thread(), snapshot.features(by=MadeBy.ENCODER) as features:
        pool_key = f"{key.pool} {len(features) if features else 0}"
        judged, without_judgement = _judged(snapshot, names, split, features)
        if known is not None and known.facts.pool_key == pool_key:
            grouped, compared, without_comparison = known.grouped, known.facts.compared, known.facts.without_comparison
        else:
            grouped, compared, without_comparison = _grouped(snapshot, features)
    grouped, contradicting = _contradicting_first(snapshot, grouped)
    control, without_control = _control(snapshot, names, split)
    labelled, picked = (names.count(labels.values()) for labels in ({**split.train, **split.control}, split.control))
    suspects = int((judged.labels != judged.answers).sum())
    snapshot.require()
    facts = Facts(
        key=key.all,
        pool_key=pool_key,
        at=time.time(),
        round=snapshot.project.round,
        task=snapshot.reader.task,
        names=names.all,
        suspects=suspects,
        contradicting=contradicting,
        compared=compared,
        control_labels=len(split.control),
        without_judgement=without_judgement,
        without_comparison=without_comparison,
        without_control=without_control,
    )
    found = Quality(facts, judged, control, grouped, labelled, picked, np.array(names.classes, np.str_))
    found.save(snapshot.folder, snapshot.require)
    log.info("Project %s: the quality of its labels was computed in %.1f s.", snapshot.project.id, time.monotonic() - start)


class _Key(NamedTuple):
    """Of what the quality is made of, as far as the row of a project says it; ``pool`` leaves the labels out."""

    pool: str
    all: str


def _key(snapshot: Snapshot) -> _Key:
    """Changes with every training, when images come or are described, and with the labeling config and the settings."""
    basis = staleness.Basis.of(snapshot.project)
    pool = (VERSION, basis.describers, basis.images)
    is_unranked = snapshot.store.has_unranked(snapshot.project.id)
    return _Key(staleness.key(*pool), staleness.key(*pool, basis.models, basis.round, basis.reading, is_unranked))


class _Names:
    """Numbers for labels: those of the classes, or of sets of them, as they come."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.is_mask = snapshot.reader.task == TaskName.SEGMENTATION
        self.are_sets = snapshot.reader.task == TaskName.MULTILABEL
        self.classes = () if self.is_mask else snapshot.jobs.classes
        self._numbers = {} if self.are_sets else {name: number for number, name in enumerate(self.classes)}

    @property
    def all(self) -> list[str]:
        """The names by their numbers."""
        return list(self._numbers)

    def of(self, labels: Collection[str]) -> NDArray[np.int64]:
        """Their numbers int64 [n]."""
        return np.array([self._numbers.setdefault(label, len(self._numbers)) for label in labels], np.int64)

    def of_targets(self, targets: NDArray[np.bool_] | NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers int64 [n] of classes int64 [n], or of sets bool [n, C]."""
        if targets.ndim == 1:
            return targets.astype(np.int64)
        return self.of([to_text([self.classes[k] for k in np.flatnonzero(row)], self.classes) for row in targets])

    def count(self, labels: Collection[str]) -> NDArray[np.int64]:
        """How many labels hold each class, int64 [C]."""
        place = {name: number for number, name in enumerate(self.classes)}
        held = [name for label in labels for name in (from_text(label) if self.are_sets else [label])] if self.classes else []
        return np.bincount([place[name] for name in held if name in place], minlength=len(place)).astype(np.int64)


def _judged(snapshot: Snapshot, names: _Names, split: LabelSplit, features: PoolFeatures | None) -> tuple[Judged, str]:
    """The cross-validated labels, the suspects first, or why there are none."""
    if names.is_mask:
        return Judged(), NO_CLASSES
    if features is None:
        return Judged(), snapshot.why_without_features
    labels = {**split.train, **split.control}
    ids = np.array(sorted(labels), np.int64)
    ids = ids[np.isin(ids, features.ids)]
    space = LABEL_SPACES.load(snapshot.reader.task, ImageLabels)(names.classes)
    try:
        targets = np.asarray(space.targets([labels[i] for i in ids.tolist()], None, Path())[np.arange(len(ids))])
    except TrainingImpossible as error:
        return Judged(), str(error)
    places = np.searchsorted(features.ids, ids)
    origins = snapshot.tasks.origins[np.searchsorted(snapshot.tasks.ids, ids)]

    def read(positions: NDArray[np.int64]) -> NDArray[np.float16]:
        snapshot.require()
        return features.read(places[positions])

    learn, rng = _learner(snapshot, space, features), np.random.default_rng(snapshot.options.seed)
    if names.are_sets:
        targets = targets > 0
        judged = label_errors.judge_sets(read, targets, origins, learn, rng)
    else:
        judged = label_errors.judge(read, targets, origins, learn, rng)
    first = judged.suspects(targets)
    order = np.concatenate([first, np.setdiff1d(np.flatnonzero(judged.is_judged), first)])
    if not len(order):
        return Judged(), FEW_LABELS
    numbers, answers = names.of_targets(targets[order]), names.of_targets(judged.answers[order])
    return Judged(ids[order], numbers, answers, judged.confidence[order], judged.self_confidence[order]), ""


def _learner(snapshot: Snapshot, space: ImageLabels, features: PoolFeatures) -> Learn:
    """What learns labels: the head that rounds train, as sure as the newest model, or votes where a head would take hours."""
    some = np.unique(np.linspace(0, len(features) - 1, min(len(features), MOST_STANDARD)).astype(np.int64))
    standard = Standard.of(features.read(some)) if len(features) else Standard.of(np.empty((0, 1)))
    is_balanced = snapshot.options.class_weights == "balanced"
    model = snapshot.settings.data_dir / snapshot.project.model / HEAD
    temperature = LinearHead.load(model).temperature if snapshot.project.model and model.exists() else 1.0

    def learn(learned: NDArray[np.floating], targets: NDArray[np.int64]) -> Posteriors:
        coefficients = len(space.classes) * learned.shape[1]
        if targets.ndim == 1 and coefficients * len(learned) > MOST_PRODUCTS:
            return NeighbourVotes(learned, targets, len(space.classes), standard.mean)
        head = space.fit_head(standard(learned), targets, standard, balanced=is_balanced)
        return lambda others: space.posteriors_of(head.logits(others) / temperature)

    return learn


def _grouped(snapshot: Snapshot, features: PoolFeatures | None) -> tuple[Grouped, int, str]:
    """Groups of identical images and of near-duplicates, how many images were compared, and why none were."""
    tasks = snapshot.tasks.where((snapshot.tasks.rows >= 0) & ~snapshot.tasks.aside)
    group = tasks.origins.copy()  # of each task: a task that stands for it
    cosine = np.zeros(len(tasks))
    _, place, copies = np.unique(tasks.origins, return_inverse=True, return_counts=True)
    cosine[copies[place] > 1] = 1.0
    compared, why = 0, snapshot.why_without_features
    if features is not None:
        first = np.flatnonzero(np.isin(features.ids, tasks.ids[tasks.distinct]))
        compared, why = len(first), ""
        found = near_duplicates.find(lambda positions: features.read(first[positions]), len(first), snapshot.require)
        ids = features.ids[first[found.positions]]
        here = np.searchsorted(tasks.ids, ids)
        heads = ids[np.searchsorted(found.groups, found.groups)]
        cosine[here] = np.maximum(cosine[here], np.minimum(found.cosines, 1))
        head_of = dict(zip(tasks.origins[here].tolist(), heads.tolist(), strict=True))
        group = np.array([head_of.get(origin, origin) for origin in tasks.origins.tolist()], np.int64)
    _, numbers, sizes = np.unique(group, return_inverse=True, return_counts=True)
    shared = np.flatnonzero(sizes[numbers] > 1)
    return _ordered(Grouped(tasks.ids[shared], numbers[shared], cosine[shared]), np.empty(0, np.int64)), compared, why


def _ordered(grouped: Grouped, first: NDArray[np.int64]) -> Grouped:
    """The groups renumbered: those of the numbers ``first``, then the others, the largest before the smaller."""
    _, number, sizes = np.unique(grouped.groups, return_inverse=True, return_counts=True)
    leads = np.isin(grouped.groups, first)
    order = np.lexsort((grouped.ids, number, -sizes[number] if len(sizes) else number, ~leads))
    numbers = np.cumsum(np.diff(number[order], prepend=-1) != 0) - 1
    return Grouped(grouped.ids[order], numbers, grouped.cosines[order])


def _contradicting_first(snapshot: Snapshot, grouped: Grouped) -> tuple[Grouped, int]:
    """The groups, those first whose labels contradict each other, and how many these are."""
    if snapshot.reader.task == TaskName.SEGMENTATION:
        return _ordered(grouped, np.empty(0, np.int64)), 0
    answers = snapshot.store.answers(snapshot.project.id, grouped.ids.tolist())
    labels: dict[int, set[str]] = {}
    for task, group in zip(grouped.ids.tolist(), grouped.groups.tolist(), strict=True):
        if task in answers and answers[task].answer == AnswerKind.LABEL:
            labels.setdefault(group, set()).add(answers[task].label)
    contradicting = np.array([group for group, held in labels.items() if len(held) > 1], np.int64)
    return _ordered(grouped, contradicting), len(contradicting)


def _control(snapshot: Snapshot, names: _Names, split: LabelSplit) -> tuple[Labels, str]:
    """The control picks that the served model was measured on, or why there are none."""
    if names.is_mask:
        return Labels(), NO_CLASSES
    result = served_model.folder(snapshot.settings.data_dir, snapshot.project)
    if result is None:
        return Labels(), NO_MODEL
    try:
        with (result.parent / "control.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            rows = arrays["rows"]
        answers = np.load(result / CONTROL_ANSWERS, allow_pickle=False)
    except (OSError, KeyError, ValueError, EOFError, BadZipFile):
        return Labels(), "The model's answers to control picks are kept from the next training on."
    ids = _tasks_in(snapshot, rows)
    there = [place for place, task in enumerate(ids[: len(answers)].tolist()) if task in split.control]
    labels = names.of([split.control[int(task)] for task in ids[there]])
    found = Labels(ids[there], labels, names.of(answers[there].tolist()))
    return found, "" if len(found) else NO_MODEL


def _tasks_in(snapshot: Snapshot, rows: NDArray[np.int64]) -> Ids:
    """The tasks int64 [n] whose images are in these rows of the frame file; -1 where there is none any more."""
    order = np.argsort(snapshot.tasks.rows, kind="stable")
    known = snapshot.tasks.rows[order]
    place = np.minimum(np.searchsorted(known, rows), max(len(known) - 1, 0))
    if not len(known):
        return np.full(len(rows), -1, np.int64)
    return np.where(known[place] == rows, snapshot.tasks.ids[order][place], -1)
