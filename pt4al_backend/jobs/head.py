"""Training a head on the features of a frozen encoder. No torch is needed, so a worker can do it itself."""

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pt4al_backend import artefacts
from pt4al_backend.config.catalog import LABEL_SPACES, TaskName
from pt4al_backend.errors import StoreCorrupt
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.jobs.folder import locked, sound_job_of
from pt4al_backend.jobs.job import Job
from pt4al_backend.jobs.manifest import LearnerManifest
from pt4al_backend.jobs.spec import JobSpec, LearnSpec, ModelSpec
from pt4al_backend.learn.evaluation import Evaluation, sampler_of
from pt4al_backend.learn.frozen.calibration import temperature
from pt4al_backend.learn.frozen.feature_file import FeatureFile, blocks, path_beside
from pt4al_backend.learn.frozen.heads import L2, LinearHead, Standard
from pt4al_backend.learn.frozen.tuning import tune
from pt4al_backend.learn.labels.image_labels import ImageLabels
from pt4al_backend.learn.weights.encoder_weights import EncoderWeights
from pt4al_backend.query.confidence import CALIBRATED
from pt4al_backend.query.plan import on_features

#: What a worker does itself, without a child process, each in a second or two: reads so many images, trains on so many
#: coefficients times labels, and predicts by so many times images.
MOST_IMAGES = 20_000
MOST_PRODUCTS = 2 * 10**8
MOST_LOGITS = 10**10

#: What a model's manifest repeats of that of its encoder.
ENCODER_FACTS = {"network", "normalisation", "device", "init", "weights"}


@dataclass(frozen=True)
class EncoderFile:
    """A frozen encoder that an artefact holds.

    Attributes:
        weights: file of a network that begins with the encoder.
        given: which weights it was given.
        manifest: of the artefact.
    """

    weights: Path
    given: EncoderWeights
    manifest: LearnerManifest

    @classmethod
    def of(cls, learner: Path | None, encoder: str, *, check: bool = True) -> Self | None:
        """The encoder that a pretext learner was ranked with; None if it is another one, or the artefact is damaged.

        Without ``check`` the weights are not read, so that they may be damaged.
        """
        if learner is None:
            return None
        try:
            manifest = LearnerManifest.read(learner, check=check)
        except StoreCorrupt:
            return None
        given = manifest.weights
        if given is None or given.encoder != encoder or not given.features:
            return None
        if not manifest.settings.frozen_encoder:  # the ranking has changed it
            return None
        return cls(learner / artefacts.WEIGHTS, given, manifest)

    @property
    def features(self) -> int:
        """Features of an image."""
        return self.given.features

    def path(self, spec: JobSpec) -> Path:
        """Where the features of a job's images lie."""
        least = self.manifest.network.get("least_side")
        return path_beside(spec.frames, self.given.encoder, self.given.sha256, spec.shape, "upright", least)

    def file(self, spec: JobSpec, *, writable: bool = True) -> FeatureFile:
        """The features of a job's images."""
        return FeatureFile(self.path(spec), 1, self.features, writable=writable)


def known_rows(job: Job[ModelSpec]) -> NDArray[np.int64]:
    """Rows of the control picks, the candidates and the labelled images, in this order."""
    return np.concatenate([job.labelled_rows("control"), job.rows("candidates.npy"), job.labelled_rows("train")])


def learn(job: Job[ModelSpec], encoder: EncoderFile, scratch: Path) -> None:
    """Trains a head, then predicts control picks and candidates. The features of all of them must be there.

    Reads and writes what ``jobs.learn`` does. The features that are kept are standardised.

    Raises:
        TrainingImpossible: fewer than two classes, or an unknown label.
    """
    start = time.monotonic()
    spec = job.spec
    space = LABEL_SPACES.load(spec.task, ImageLabels)(spec.classes)
    rows, targets = job.labelled("train", space, scratch)
    control, truths = job.labelled("control", space, scratch)
    candidates = job.rows("candidates.npy")
    with encoder.file(spec) as file:
        known = file.read(known_rows(job))[:, 0]
    read = time.monotonic()
    kept = frozenset(spec.outputs)
    evaluation = Evaluation(
        space, encoder.features, truths, len(control), len(candidates), sampler_of(job.settings), scratch / "masks", kept
    )
    standard, learned = Standard.of(known), targets[np.arange(len(rows))]
    is_balanced, seed = job.settings.class_weights == "balanced", job.settings.seed
    head, seconds = tune(space, known, learned, evaluation, standard, balanced=is_balanced, seed=seed)
    seconds["train"] += read - start
    start = time.monotonic()
    found = temperature(space, known[len(known) - len(rows) :], learned, standard, balanced=is_balanced, seed=seed)
    head = replace(head, temperature=found)
    evaluation.add_confidences(CALIBRATED, _shown_confidences(head, space, known[evaluation.candidates]))
    seconds["calibrate"] = time.monotonic() - start
    manifest = {
        **job.facts(),
        **encoder.manifest.model_dump(mode="json", include=ENCODER_FACTS),
        "kind": "model",
        "classes": spec.classes,
        "recipe": {"l2": L2, "temperature": head.temperature},
        "seconds": seconds,
        "train_size": len(rows),
        "control": evaluation.control_metrics(),
    }
    with artefacts.writing(job.result, **manifest) as folder:
        evaluation.save(folder)
        shutil.copyfile(encoder.weights, folder / artefacts.WEIGHTS)
        head.save(folder / artefacts.HEAD)


def _shown_confidences(head: LinearHead, space: ImageLabels, features: NDArray[np.float16]) -> NDArray[np.float64]:
    """How sure the head is of images, as people see it: float64 [n] of features [n, d]."""
    parts = [np.empty(0)]
    for positions in blocks(np.arange(len(features))):
        posteriors = space.posteriors_of(head.logits(features[positions]) / head.temperature)
        parts.append(space.interpret((posteriors,))[0]["least_confidence"])
    return np.concatenate(parts)


def quick_encoder(spec: LearnSpec, rows: NDArray[np.int64], labels: int) -> EncoderFile | None:
    """The encoder, if a head of some labels on the features of rows int64 [n] is a matter of a second or two: all are there."""
    encoder = EncoderFile.of(spec.learner, spec.settings.frozen_encoder) if on_features(spec.settings, spec.task) else None
    if encoder is None or len(rows) > MOST_IMAGES:
        return None
    coefficients = len(spec.classes) * encoder.features
    steps = 4 if spec.task == TaskName.MULTILABEL else 1  # each class is a training of its own
    if steps * coefficients * labels > MOST_PRODUCTS or coefficients * len(rows) > MOST_LOGITS:
        return None
    with FrameFile(spec.frames, spec.stored) as frames, encoder.file(spec) as file:
        return None if len(file.missing(rows, frames)) else encoder


def learn_here(folder: Path) -> bool:
    """Does the job in a folder in this process if that is quick; whether it did.

    Raises:
        TrainingImpossible: as ``learn`` says.
    """
    spec = sound_job_of(folder)
    if not isinstance(spec, LearnSpec):
        return False
    with locked(folder, wait=False) as is_free:
        if not is_free:  # an earlier worker's child is at it
            return False
        job: Job[LearnSpec] = Job.read(folder)
        encoder = quick_encoder(spec, known_rows(job), len(job.labelled_rows("train")))
        if encoder is None:
            return False
        artefacts.remove_leftovers(folder)
        with job.scratch() as scratch:
            learn(job, encoder, scratch)
    return True
