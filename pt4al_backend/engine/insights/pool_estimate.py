"""The pool estimate of the newest model: computed after each training, once labels are cross-validated."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import softmax

from pt4al_backend import artefacts
from pt4al_backend.aliases import Ids
from pt4al_backend.analysis.pool_estimate import PoolConfidence, PoolEstimate, estimate
from pt4al_backend.config.catalog import TaskName
from pt4al_backend.engine.insights.facts import InsightFacts
from pt4al_backend.engine.insights.quality import MOST_PRODUCTS
from pt4al_backend.engine.insights.quality_file import Quality
from pt4al_backend.engine.snapshot import PoolFeatures, Snapshot
from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.jobs.manifest import ModelManifest
from pt4al_backend.learn.frozen.feature_file import blocks
from pt4al_backend.learn.frozen.heads import LinearHead
from pt4al_backend.state.paths import project_below
from pt4al_backend.state.schema import Project
from pt4al_backend.threads import one_thread

log = logging.getLogger(__name__)

FOLDER = "pool-estimate"
#: Of what is computed: older artefacts are made again.
VERSION = "2"
#: Unlabelled images that are drawn to stand for all, if there are more.
MOST_READ = 20_000


#: Why there is no estimate, for people.
COMING = "It is computed in the background, once the labels are cross-validated."
FULL = "It is made for heads, and the encoder of the served model is trained too."
NETWORK = "It is made for heads on a pretrained encoder's features, and the model is none."
NO_SHARE = "It is made for one class an image: other measures are no share of images."
MANY_CLASSES = "There are too many classes to cross-validate a head."
NOTHING_LEFT = "Every image is labelled."
NO_HELP = "With so many control picks and such confidence it would not be sure to be more exact than they are alone."


class Estimated(BaseModel):
    """The newest model's accuracy by its control picks and by how sure it is of the whole pool."""

    model_config = ConfigDict(frozen=True)

    value: float
    low: float = Field(description="of the 95 % interval")
    high: float
    picks: int = Field(description="control picks that it rests on")
    worth: float = Field(description="how many control picks alone would be as exact")

    @property
    def sentence(self) -> str:
        """Which estimate this is, and what it is worth."""
        return (
            f"By {self.picks:,} control picks and the model's confidence on the whole pool, which they correct; "
            f"as exact as {self.worth:,.0f} picks alone."
        )


class Facts(InsightFacts):
    """What is kept of it.

    Attributes:
        model: that it is of, as the state has it.
        estimate: None where the control picks stand alone.
        missing: why they do.
    """

    model: str = ""
    estimate: Estimated | None = None
    missing: str = ""


def estimate_of(data_dir: Path | None, project: Project) -> tuple[Estimated | None, str]:
    """What was estimated of a project's newest model, below a data folder; None, and why, if nothing was."""
    known = None if data_dir is None else Facts.known(project_below(data_dir, project) / FOLDER)
    if known is None or known.model != project.model:
        return None, COMING
    return known.estimate, known.missing


def refresh(snapshot: Snapshot) -> None:
    """Estimates again if the labels were cross-validated since, as they are after a training."""
    quality = Quality.load(snapshot.folder)
    if quality is None or not snapshot.project.model:
        return
    key, known = f"{VERSION} {quality.facts.key}", Facts.known(snapshot.folder / FOLDER)
    if known is not None and known.key == key:
        return
    snapshot.require()
    with one_thread(), snapshot.features() as features:
        found = _estimated(snapshot, quality, features)
    if isinstance(found, str):
        facts = Facts(key=key, model=snapshot.project.model, missing=found)
    else:
        facts = Facts(key=key, model=snapshot.project.model, estimate=Estimated(**vars(found)))
    with facts.writing(snapshot.folder / FOLDER):
        snapshot.require()
    log.info("Project %s: the pool estimate of %s was computed.", snapshot.project.id, snapshot.project.model)


def _estimated(snapshot: Snapshot, quality: Quality, features: PoolFeatures | None) -> PoolEstimate | str:
    """The estimate, or why there is none: the measure is no share of images, say, or the control picks are better alone."""
    if snapshot.reader.task != TaskName.CLASSIFICATION:
        return NO_SHARE
    model = _Model.of(snapshot, features) if features is not None else None
    if features is None or model is None:
        return NETWORK
    split, tasks = snapshot.labels(train_on_accepted=snapshot.options.train_on_accepted), snapshot.tasks
    learned = np.isin(tasks.origins, tasks.origins[np.isin(tasks.ids, list(split.train))])
    unlabelled = np.flatnonzero(np.isin(features.ids, tasks.ids[tasks.distinct & ~learned]))
    control = np.array(sorted(split.control), np.int64)
    control = control[np.isin(control, features.ids)]
    judged = np.isin(quality.judged.ids, list(split.train))
    if not len(unlabelled):
        return NOTHING_LEFT
    if model.size * len(judged) > MOST_PRODUCTS:  # then neighbours voted, who are as sure as they are
        return MANY_CLASSES
    drawn = unlabelled
    if len(drawn) > MOST_READ:
        drawn = np.sort(np.random.default_rng(snapshot.options.seed).choice(drawn, MOST_READ, replace=False))
    crossed = (quality.judged.labels == quality.judged.answers)[judged].astype(np.float64)
    sure = model.answer(snapshot, features, drawn)[1]
    unjudged = len(split.train) - len(crossed)
    pool = PoolConfidence.of(sure, len(unlabelled), quality.judged.confidence[judged], crossed, unjudged)
    if not pool.suits(len(control)):
        return NO_HELP
    answers, confidence = model.answer(snapshot, features, np.searchsorted(features.ids, control))
    right = np.array([split.control[task] == answer for task, answer in zip(control.tolist(), answers, strict=True)], np.float64)
    return estimate(right, confidence, pool)


class _Model:
    """The head that is served."""

    def __init__(self, head: LinearHead, classes: Sequence[str]) -> None:
        self._head, self._classes = head, classes

    @property
    def size(self) -> int:
        """Coefficients."""
        return self._head.weights.size

    @classmethod
    def of(cls, snapshot: Snapshot, features: PoolFeatures) -> "_Model | None":
        """None where the newest model is no head, or one of other features than these."""
        folder = snapshot.settings.data_dir / snapshot.project.model
        if not (folder / artefacts.HEAD).exists():
            return None
        try:
            manifest = ModelManifest.read(folder)
            return cls(LinearHead.load(folder / artefacts.HEAD), manifest.classes) if features.suit(manifest) else None
        except (StoreCorrupt, KeyError, OSError, ValueError):
            return None  # the engine reports it, and trains another

    def answer(self, snapshot: Snapshot, features: PoolFeatures, places: Ids) -> tuple[list[str], NDArray[np.float64]]:
        """Its answers to images int64 [n] by their places among the features, and how sure it is of them, float64 [n]."""
        answers: list[str] = []
        sure = [np.empty(0)]
        for block in blocks(places):
            snapshot.require()
            posteriors = softmax(self._head.logits(features.read(block)) / self._head.temperature, axis=1)
            answers += [self._classes[number] for number in posteriors.argmax(1).tolist()]
            sure.append(posteriors.max(1))
        return answers, np.concatenate(sure)
