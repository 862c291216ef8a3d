"""Learns from labels: trains the main task's model, measures it on the control picks, and lets it score the candidates."""

import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pt4al_backend import artefacts
from pt4al_backend.aliases import Json
from pt4al_backend.config.catalog import COMPANIONS, MAIN_TASKS
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.jobs import frozen_encoder
from pt4al_backend.jobs.network_job import NetworkJob
from pt4al_backend.jobs.spec import AnswerSpec, FullSpec, ModelSpec
from pt4al_backend.learn import saved
from pt4al_backend.learn.augmentation import Centre
from pt4al_backend.learn.best_epoch import BestEpoch
from pt4al_backend.learn.companions.base import Companion, CompanionInput
from pt4al_backend.learn.evaluation import Evaluation, sampler_of
from pt4al_backend.learn.frozen.rotation_head import head_of
from pt4al_backend.learn.inference import infer
from pt4al_backend.learn.labels.base import Targets
from pt4al_backend.learn.loop import Recipe, Training
from pt4al_backend.learn.minibatches import Data
from pt4al_backend.learn.objective import Trainable
from pt4al_backend.learn.stored_images import StoredImages
from pt4al_backend.learn.tasks.base import MainTask
from pt4al_backend.learn.tasks.whole_image import WholeImage
from pt4al_backend.learn.weights.initial import Source
from pt4al_backend.progress import Report


def learn(job: NetworkJob[ModelSpec], report: Report) -> None:
    """Trains the main task on labels from its initial weights, then predicts control picks and candidates.

    A companion, if a strategy has one, is trained beside it or after it, and adds its confidences of the candidates.

    Reads ``rows`` and ``labels`` of ``train.npz`` and ``control.npz``. Writes ``result/``: the model's weights;
    ``candidates.npz``, confidences and answers in the order of ``candidates.npy``, and beside it what is wanted of these
    and of the images in ``train.npz`` (see ``Evaluation.save``); ``masks/``, the answers that are masks; and in the
    manifest how the control picks were answered, and everything that loading the model elsewhere takes.

    Raises:
        TrainingImpossible: fewer than two classes, an unknown label, a loss that is not finite, or too little memory.
        StoreCorrupt: the frame file or a mask is damaged.
    """
    if job.on_features:
        return frozen_encoder.learn(job, report)
    torch.manual_seed(job.settings.seed)
    task = MAIN_TASKS.load(job.spec.task, MainTask)(job.body(), job.spec.classes, job.spec.shape, job.settings)
    with FrameFile(job.spec.frames, job.spec.stored) as frames, job.scratch() as scratch:
        rows, targets = job.labelled("train", task, scratch)
        control = job.labelled("control", task, scratch)
        companion = COMPANIONS.load(job.spec.companion, Companion)(task)
        start = time.monotonic()
        training_data = task.training_data(frames, rows, targets)
        trainable, tested = companion.trainable(), StoredImages(frames, control[0], Centre(job.spec.shape))
        best = BestEpoch(task, trainable, tested, control[1], job.device) if job.spec.best_epoch else None
        recipe, begun, earlier = _train(job, task, trainable, training_data, report, best)
        calibrated = _calibrate(job, task)
        trained = time.monotonic()
        evaluation = evaluate(job, task, frames, control, rows, scratch / "masks", report)
        scored = time.monotonic()
        accompanied = {}
        if job.spec.companion:
            candidates = job.rows("candidates.npy")
            learned, others = (StoredImages(frames, each, Centre(job.spec.shape)) for each in (rows, candidates))
            inputs = CompanionInput(
                learned, others, training_data, recipe, job.spec.query_size, job.spec.shape, job.device, job.settings, report
            )
            torch.manual_seed(job.settings.seed)  # a training that was resumed has drawn less
            evaluation.add_confidences(job.spec.companion, companion.confidences(inputs) if len(candidates) else np.empty(0))
            accompanied = {"companion": time.monotonic() - scored}
        if "drop_consistency" in job.spec.outputs:
            evaluation.add_confidences("drop_consistency", _drop_consistency(task, evaluation, job.settings.seed))
        manifest = {
            **job.manifest(task.body.form),
            "kind": "model",
            "classes": job.spec.classes,
            **begun,
            "recipe": asdict(recipe) | calibrated,
            "seconds": {"train": earlier + trained - start, "score": scored - trained, **accompanied},
            "train_size": len(rows),
            "control": evaluation.control_metrics(),
        }
        with artefacts.writing(job.result, **manifest) as folder:
            evaluation.save(folder)
            if (scratch / "masks").exists():
                (scratch / "masks").rename(folder / "masks")
            saved.save(task, folder)


def _train(
    job: NetworkJob[ModelSpec], task: MainTask, trained: Trainable, training_data: Data, report: Report, best: BestEpoch | None
) -> tuple[Recipe, Json, float]:
    """The recipe, what the manifest says of the initial weights, and the seconds that earlier processes worked on it."""
    sources = job.initial_weights(report, job.spec.previous)
    used = sources.init_task(task)
    if job.freezes:
        task.body.freeze()
    recipe = task.recipe(len(training_data), job.device, fresh=used is Source.FRESH)
    training = Training(
        trained,
        training_data,
        recipe,
        device=job.device,
        seed=job.settings.seed,
        report=report,
        # a checkpoint holds the last epoch's weights: what was best before a kill would be lost
        checkpoint=job.checkpoint if best is None else None,
        after_epoch=best or (lambda: None),
    )
    training.run()
    if best is not None:
        best.restore()
    return recipe, sources.described(used), training.earlier


def _calibrate(job: NetworkJob[ModelSpec], task: MainTask) -> Json:
    """Gives a model that is served beside heads the temperature that the comparison found; what the manifest says of it."""
    if not isinstance(job.spec, FullSpec) or not isinstance(task, WholeImage):
        return {}
    task.calibrate(job.spec.temperature)
    return {"temperature": job.spec.temperature}


def evaluate(
    job: NetworkJob[ModelSpec] | NetworkJob[AnswerSpec],
    task: MainTask,
    frames: FrameFile,
    control: tuple[NDArray[np.int64], Targets],
    learned: NDArray[np.int64],
    masks: Path,
    report: Report,
) -> Evaluation:
    """How a model answers control picks and the job's candidates, and what is kept of these and of the images that it learned.

    One pass over all: several short passes would fill up several last minibatches.
    """
    rows, truths = control
    candidates = job.rows("candidates.npy")
    evaluation = Evaluation(
        task, task.body.features, truths, len(rows), len(candidates), sampler_of(job.settings), masks, frozenset(job.spec.outputs)
    )
    seen = [rows, candidates, learned] if "features" in job.spec.outputs else [rows, candidates]
    images = StoredImages(frames, np.concatenate(seen), Centre(job.spec.shape))
    infer(
        task.model,
        task.predict_with_features,
        images,
        task.minibatch_limit(job.device),
        evaluation.add,
        device=job.device,
        report=report,
    )
    return evaluation


def _drop_consistency(task: MainTask, evaluation: Evaluation, seed: int) -> NDArray[np.float64]:
    """See ``LinearHead.drop_consistency``, of the candidates' features."""
    if not isinstance(task, WholeImage):
        raise TypeError(f"{task.name} has no answers under dropout")
    return head_of(task.model.head).drop_consistency(evaluation.outputs()[2]["features"], seed)
