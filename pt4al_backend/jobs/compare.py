"""Compares a head on frozen features with training the encoder too, by the labels there are (see ``learn.frozen.comparison``)."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pt4al_backend.config.catalog import MAIN_TASKS
from pt4al_backend.errors import StoreCorrupt, TooFewClasses, TrainingImpossible
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.jobs.folder import CHECKPOINT
from pt4al_backend.jobs.head import EncoderFile
from pt4al_backend.jobs.manifest import ComparisonManifest, Manifest
from pt4al_backend.jobs.network_job import NetworkJob
from pt4al_backend.jobs.spec import CompareSpec
from pt4al_backend.learn import peers
from pt4al_backend.learn.augmentation import Centre
from pt4al_backend.learn.checkpoint import Checkpoint
from pt4al_backend.learn.frozen.calibration import temperature_of
from pt4al_backend.learn.frozen.comparison import FOLDS, LEAST_LABELS, Comparison, folds
from pt4al_backend.learn.frozen.heads import Standard
from pt4al_backend.learn.inference import infer
from pt4al_backend.learn.labels.base import require_finite
from pt4al_backend.learn.loop import Training
from pt4al_backend.learn.stored_images import StoredImages
from pt4al_backend.learn.tasks.whole_image import WholeImage
from pt4al_backend.learn.weights.initial import Source
from pt4al_backend.progress import Report

#: Images of the pool whose features give the standard.
MOST_DESCRIBED = 5_000
ANSWERS = "answers.npz"


def compare(job: NetworkJob[CompareSpec], report: Report) -> None:
    """Lets both answer each labelled image that they have not learned.

    Reads ``rows`` and ``labels`` of ``train.npz``, and ``rows.npy`` of the whole pool. Labels of images without features, which
    the next ranking describes, are left out. Each part that is done is kept as ``fold-0``, ``fold-1`` and so on, so that a job
    that was killed goes on with the next. Writes ``result/``, whose manifest has the fields of ``Comparison``.

    Raises:
        TrainingImpossible: no features, too few labels of images that have them, no weights, or a loss that is not finite.
        StoreCorrupt: the frame file is damaged.
    """
    start = time.monotonic()
    with FrameFile(job.spec.frames, job.spec.stored) as frames, job.scratch() as scratch:
        task = _task(job)
        rows, targets = job.labelled("train", task, scratch)
        material = _material(job, frames, rows, targets[np.arange(len(rows))])
        parts = folds(material.targets, job.settings.seed)
        found = [_fold(job, material, number, parts == number, report) for number in range(FOLDS)]
    head, logits, answered = (np.concatenate(each) for each in zip(*found, strict=True))
    right = task.right(task.posteriors_of(logits), answered)
    comparison = Comparison.of(head, right, temperature_of(task, logits, answered))
    seconds = time.monotonic() - start
    with ComparisonManifest(fingerprint=job.fingerprint, seconds=seconds, **asdict(comparison)).writing(job.result):
        pass


class _Answers(NamedTuple):
    """To images held out: how right the head was float64 [m], the network's logits float64 [m, C], and the targets [m, ...]."""

    head: NDArray[np.float64]
    logits: NDArray[np.float64]
    targets: NDArray[Any]


@dataclass(frozen=True, eq=False)
class _Material:
    """Labelled images: ``rows`` int64 [n] of their frames, features float16 [n, d], targets [n, ...]."""

    frames: FrameFile
    rows: NDArray[np.int64]
    features: NDArray[np.float16]
    targets: NDArray[Any]
    standard: Standard


def _material(job: NetworkJob[CompareSpec], frames: FrameFile, rows: NDArray[np.int64], targets: NDArray[Any]) -> _Material:
    encoder = EncoderFile.of(job.spec.learner, job.settings.frozen_encoder)
    if encoder is None:
        raise TrainingImpossible("There are no features to compare with.", "The next ranking of the pool computes them.")
    drawn = np.random.default_rng(job.settings.seed).permutation(job.rows("rows.npy"))[:MOST_DESCRIBED]
    with encoder.file(job.spec) as file:
        there = ~np.isin(rows, file.missing(rows, frames))
        if there.sum() < LEAST_LABELS:
            raise TrainingImpossible("Too few labelled images have features.", "The next ranking of the pool computes them.")
        standard = Standard.of(file.read(np.setdiff1d(drawn, file.missing(drawn, frames)))[:, 0])
        return _Material(frames, rows[there], file.read(rows[there])[:, 0], targets[there], standard)


def _fold(job: NetworkJob[CompareSpec], material: _Material, number: int, held: NDArray[np.bool_], report: Report) -> _Answers:
    """The answers of both to the images held out; to none where the rest cannot be learned."""
    place = job.folder / f"fold-{number}"
    done = peers.agreed(_done(place, job.fingerprint))  # the first one's folder alone outlives a kill
    if done is not None:
        return done
    try:
        _task(job).require_learnable(material.targets[~held])
    except TooFewClasses:
        return _Answers(np.empty(0), np.empty((0, len(job.spec.classes))), material.targets[:0])
    head = _answered_by_head(job, material, held)
    logits = _answered_by_network(job, material, number, held, report)
    found = _Answers(head, logits, material.targets[held])
    with Manifest(fingerprint=job.fingerprint, kind="fold").writing(place) as folder:
        np.savez(folder / ANSWERS, **found._asdict())
    (job.folder / CHECKPOINT).unlink(missing_ok=True)
    return found


def _done(place: Path, fingerprint: str) -> _Answers | None:
    """A fold that was kept; None if it is not done yet, damaged, or of a version that kept less."""
    try:
        if Manifest.read(place).fingerprint == fingerprint:
            with np.load(place / ANSWERS, allow_pickle=False) as arrays:
                return _Answers(**{name: arrays[name] for name in _Answers._fields})
    except (StoreCorrupt, FileNotFoundError):
        pass
    return None


def _answered_by_head(job: NetworkJob[CompareSpec], material: _Material, held: NDArray[np.bool_]) -> NDArray[np.float64]:
    space, standard = _task(job), material.standard
    is_balanced = job.settings.class_weights == "balanced"
    features, targets = standard(material.features[~held]), material.targets[~held]
    head = space.fit_head(features, targets, standard, balanced=is_balanced)
    return space.right(space.posteriors_of(head.logits(material.features[held])), material.targets[held])


def _answered_by_network(
    job: NetworkJob[CompareSpec], material: _Material, number: int, held: NDArray[np.bool_], report: Report
) -> NDArray[np.float64]:
    """Logits float64 [m, C] of a network that is trained as the one to be served would be."""
    full = NetworkJob(job.folder, job.spec.changed(tuning="full"), job.fingerprint)
    torch.manual_seed(job.settings.seed)
    task = _task(full)
    data = task.training_data(material.frames, material.rows[~held], material.targets[~held])
    used = full.initial_weights(report).init_task(task)
    training = Training(
        task,
        data,
        task.recipe(len(data), job.device, fresh=used is Source.FRESH),
        device=job.device,
        seed=job.settings.seed,
        report=report,
        checkpoint=Checkpoint(job.folder / CHECKPOINT, f"{job.fingerprint} {number}"),
    )
    training.run()
    images = StoredImages(material.frames, material.rows[held], Centre(job.spec.shape))
    logits = np.empty((len(images), len(job.spec.classes)))

    def take(positions: NDArray[np.int64], found: tuple[NDArray[np.float32], ...]) -> None:
        logits[positions] = found[0]

    size = task.minibatch_limit(job.device)
    infer(task.model, lambda some: (task.model(some),), images, size, take, device=job.device, report=report)
    require_finite(logits)
    return logits


def _task(job: NetworkJob[CompareSpec]) -> WholeImage:
    """The main task with a network of its own."""
    kind = MAIN_TASKS.load(job.spec.task, WholeImage)
    return kind(job.body(), job.spec.classes, job.spec.shape, job.settings)
