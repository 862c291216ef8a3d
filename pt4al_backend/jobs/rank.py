"""Ranks a pool: trains the pretext learner on it, and scores every image (PT4AL, section 4.1)."""

import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pt4al_backend import artefacts
from pt4al_backend.aliases import Json
from pt4al_backend.config.catalog import MAIN_TASK_FACTS, PRETEXTS
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.jobs import frozen_encoder
from pt4al_backend.jobs.image_vectors import path_beside
from pt4al_backend.jobs.network_job import NetworkJob
from pt4al_backend.jobs.spec import RankSpec
from pt4al_backend.learn import saved
from pt4al_backend.learn.augmentation import Centre
from pt4al_backend.learn.evaluation import to_float16
from pt4al_backend.learn.frozen.feature_file import FeatureFile
from pt4al_backend.learn.inference import infer, score, scoring_size
from pt4al_backend.learn.loop import Training
from pt4al_backend.learn.networks import pooled
from pt4al_backend.learn.pretext import holdout
from pt4al_backend.learn.pretext.base import Pretext
from pt4al_backend.learn.pretext.holdout import Scale
from pt4al_backend.learn.stored_images import StoredImages
from pt4al_backend.learn.weights.initial import Source
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Report


def rank(job: NetworkJob[RankSpec], report: Report) -> None:
    """Trains the pretext learner on the pool, unless the job brings one, and scores every image with it.

    A part of the pool is held out of the training (see ``holdout``); a learner that the job brings has seen none of
    the images. Writes ``result/``: ``losses.npy`` float64 [n] in the order of ``rows.npy``, what a trained learner needs to
    score later imports, and ``features.npy`` float16 [n, d] if they are wanted. Of a live project, the features describe the
    images for its pages as well (see ``image_vectors``).

    Raises:
        TrainingImpossible: too few images, or losses that are not finite.
        StoreCorrupt: the frame file or the learner is damaged.
    """
    if job.on_features:
        return frozen_encoder.rank(job, report)
    torch.manual_seed(job.settings.seed)
    rows = job.rows("rows.npy")
    held = _held_out(job, len(rows))
    with FrameFile(job.spec.frames, job.spec.stored) as frames:
        start = time.monotonic()
        if job.spec.learner is None:
            learner, begun, earlier = _train_learner(job, StoredImages(frames, rows[~held], Centre(job.spec.shape)), report)
        else:
            learner, begun, earlier = saved.load_learner(job.spec.learner), {"init": "pretext"}, 0.0
        trained = time.monotonic()
        images = StoredImages(frames, rows, Centre(job.spec.shape))
        size = scoring_size(job.device, job.spec.shape, learner.views)
        scores = score(learner, images, size, device=job.device, report=report)
        describes, wanted = job.spec.project is not None, "features" in job.spec.outputs
        features = _features(job, learner, images, report) if describes or wanted else None
        if describes and features is not None:
            with FeatureFile(path_beside(job.spec.learner or job.result), 1, learner.body.features) as file:
                file.write(rows, features[:, None], frames)
        seconds = {"train": earlier + trained - start, "score": time.monotonic() - trained}
    losses = scores[:, 0].astype(np.float64)
    if not np.isfinite(losses).all():
        raise TrainingImpossible("The pretext losses are not all finite.", "Set learning_rate in the extra params to less.")
    manifest = {
        **job.manifest(learner.body.form),
        "kind": "ranking",
        "pretext": learner.name,
        **begun,
        "quality": learner.quality(scores[held] if held.any() else scores).model_dump(),
        "seconds": seconds,
        "images": len(rows),
        "held_out": int(held.sum()),
        "features": learner.body.features,
    }
    with artefacts.writing(job.result, **manifest) as folder:
        if job.spec.learner is None:
            scale = Scale.of(losses, held)
            scale.save(folder)
            saved.save(learner, folder)
            losses[held] = scale(losses[held])
        else:
            losses = Scale.load(job.spec.learner)(losses)
        np.save(folder / "losses.npy", losses)
        if features is not None and wanted:
            np.save(folder / "features.npy", features)


def _train_learner(job: NetworkJob[RankSpec], images: StoredImages, report: Report) -> tuple[Pretext, Json, float]:
    """The learner, what the manifest says of its initial weights, and the seconds that earlier processes worked on it."""
    body = job.body()
    sources = job.initial_weights(report)
    used = sources.init_learner(body)
    if job.freezes:
        body.freeze()
    learner = PRETEXTS.load(job.settings.pretext or MAIN_TASK_FACTS[job.spec.task].pretext, Pretext)(body)
    training = Training(
        learner,
        images,
        learner.recipe(len(images), job.settings, job.device, fresh=used is Source.FRESH),
        device=job.device,
        seed=job.settings.seed,
        phase=Phase.PRETEXT,
        report=report,
        checkpoint=job.checkpoint,
    )
    training.run()
    return learner, sources.described(used), training.earlier


def _features(job: NetworkJob[RankSpec], learner: Pretext, images: StoredImages, report: Report) -> NDArray[np.float16]:
    """The pooled features float16 [n, d] of the learner's body."""
    parts = [np.empty((0, learner.body.features), np.float16)]

    def describe(images: Tensor) -> tuple[Tensor, ...]:
        return (pooled(learner.body(images)),)

    def take(_: NDArray[np.int64], rows: tuple[NDArray[Any], ...]) -> None:
        parts.append(to_float16(rows[0]))

    size = scoring_size(job.device, job.spec.shape, 1)
    infer(learner.model, describe, images, size, take, device=job.device, report=report)
    return np.concatenate(parts)


def _held_out(job: NetworkJob[RankSpec], images: int) -> NDArray[np.bool_]:
    share = job.settings.pretext_holdout if job.spec.learner is None else 0.0
    return holdout.choose(images, share, np.random.default_rng(job.settings.seed))
