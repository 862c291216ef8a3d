"""Jobs on a frozen encoder: its features are computed once, and heads are trained on them. No network is trained."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pt4al_backend import artefacts
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.jobs import head
from pt4al_backend.jobs.head import EncoderFile
from pt4al_backend.jobs.manifest import LearnerManifest
from pt4al_backend.jobs.network_job import NetworkJob
from pt4al_backend.jobs.spec import ModelSpec, RankSpec
from pt4al_backend.learn import networks, peers, saved
from pt4al_backend.learn.evaluation import to_float16
from pt4al_backend.learn.frozen.feature_file import blocks
from pt4al_backend.learn.frozen.features import Features
from pt4al_backend.learn.frozen.heads import Standard
from pt4al_backend.learn.frozen.rotation_head import cross_fitted, head_of, scores_of, write_head
from pt4al_backend.learn.networks import TimmEncoder
from pt4al_backend.learn.pretext.holdout import Scale
from pt4al_backend.learn.pretext.rotation import Rotation
from pt4al_backend.learn.weights.encoder_weights import EncoderWeights
from pt4al_backend.learn.weights.initial import Source
from pt4al_backend.learn.weights.pretrained import give
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress, Report

LEAST_RANKED = 2


def rank(job: NetworkJob[RankSpec], report: Report) -> None:
    """Scores every image by rotation on the frozen encoder (see ``rotation_head``), or by the learner that the job brings.

    Writes ``result/`` as ``jobs.rank`` does. The features that are kept are standardised.

    Raises:
        TrainingImpossible: one image alone, or no weights of the encoder.
        StoreCorrupt: the frame file or the learner is damaged.
    """
    rows = job.rows("rows.npy")
    start = time.monotonic()
    if job.spec.learner is None:
        learner = Rotation(job.body())
        weights = _given_weights(job, _encoder_of(learner), report)
    else:  # with the weights that it was ranked with, whatever lies on this machine now
        learner, weights = _saved_learner(job.spec.learner)
    with FrameFile(job.spec.frames, job.spec.stored) as frames:
        features = Features(_encoder_of(learner), weights.sha256, frames, job.spec.shape, job.device, report)
        if job.spec.learner is None:
            if len(rows) < LEAST_RANKED:
                raise TrainingImpossible("One image alone cannot be ranked.", "Import more.")
            features.compute_turned(rows)
            scores, learned = cross_fitted(rows, features.turned, np.random.default_rng(job.settings.seed))
            write_head(learned, learner.model.head)
        else:
            known = head_of(learner.model.head)
            scores = np.concatenate([np.empty((0, 2)), *(scores_of(block, known) for block in features.turned(rows))])
        if job.spec.project is not None:  # its pages show all images, whichever the rounds ask for
            features.compute_upright(rows)
        upright = features.upright(rows) if "features" in job.spec.outputs else None
        seconds = {"train": 0.0, "score": time.monotonic() - start}
    if not np.isfinite(scores).all():
        raise TrainingImpossible("The pretext losses are not all finite.", "Set encoder in the extra params to another.")
    losses = scores[:, 0]
    manifest = {
        **job.manifest(learner.body.form),
        "kind": "ranking",
        "pretext": learner.name,
        "init": Source.PRETRAINED,
        "weights": weights.model_dump(),
        "quality": learner.quality(scores).model_dump(),
        "seconds": seconds,
        "images": len(rows),
        "held_out": 0,
    }
    with artefacts.writing(job.result, **manifest) as folder:
        if job.spec.learner is None:
            Scale.of(losses, np.zeros(len(losses), np.bool_)).save(folder)
            saved.save(learner, folder)
        np.save(folder / "losses.npy", losses)
        if upright is not None:
            standard = Standard.of(upright)
            for block in blocks(np.arange(len(upright))):
                upright[block] = to_float16(standard(upright[block]))
            np.save(folder / "features.npy", upright)
    if job.spec.project is not None:  # a benchmark's frames serve several encoders
        features.forget_others()


def learn(job: NetworkJob[ModelSpec], report: Report) -> None:
    """Computes the features that are missing, then trains a head on them (see ``head``).

    Raises:
        TrainingImpossible: as ``head.learn`` says, or there are no weights of the encoder.
        StoreCorrupt: the frame file or the learner is damaged.
    """
    with job.scratch() as scratch:
        encoder = EncoderFile.of(job.spec.learner, job.settings.frozen_encoder) or _fetched(job, scratch, report)
        rows = head.known_rows(job)
        with FrameFile(job.spec.frames, job.spec.stored) as frames, encoder.file(job.spec) as file:
            missing = peers.agreed(file.missing(rows, frames))  # another one may have begun to write
            if len(missing):
                body = _loaded(encoder)
                Features(body, encoder.given.sha256, frames, job.spec.shape, job.device, report).compute_upright(missing)
        head.learn(job, encoder, scratch)


def _fetched(job: NetworkJob[ModelSpec], scratch: Path, report: Report) -> EncoderFile:
    """The encoder with weights from elsewhere: the pool was not ranked, so there is no learner that holds it."""
    learner = Rotation(job.body())
    weights = _given_weights(job, _encoder_of(learner), report)
    saved.save(learner, scratch)
    manifest = {**job.manifest(learner.body.form), "init": Source.PRETRAINED, "weights": weights}
    return EncoderFile(scratch / artefacts.WEIGHTS, weights, LearnerManifest.model_validate(manifest))


def _loaded(encoder: EncoderFile) -> TimmEncoder:
    """The encoder itself."""
    learner = Rotation(networks.build(networks.form_of(encoder.manifest.network)))
    learner.model.load_state_dict(torch.load(encoder.weights, map_location="cpu", weights_only=True))
    return _encoder_of(learner)


def _encoder_of(objective: Rotation) -> TimmEncoder:
    if not isinstance(objective.body, TimmEncoder):
        raise TypeError(f"{type(objective.body).__name__} is no frozen encoder")
    return objective.body


def _saved_learner(folder: Path) -> tuple[Rotation, EncoderWeights]:
    """A learner that ``rank`` saved, and the weights that its encoder was given."""
    learner, weights = saved.load_learner(folder), LearnerManifest.read(folder).weights
    if not isinstance(learner, Rotation) or weights is None:
        raise TypeError(f"{type(learner).__name__} is no rotation learner on a frozen encoder")
    return learner, weights


def _given_weights(job: NetworkJob[Any], encoder: TimmEncoder, report: Report) -> EncoderWeights:
    """Gives the encoder its weights."""

    def note(text: str) -> None:
        report(Progress(Phase.PREPARING, note=text))

    return give(encoder, job.spec.weights, job.spec.pretrained, note)
