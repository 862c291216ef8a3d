"""The two pieces of work that a round gives to a machine: rank a pool, and learn from labels.

Both read a job and write an artefact; neither knows Label Studio, the store or the process it runs in.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pt4al_backend import __version__, artefacts
from pt4al_backend.config import ProjectSettings
from pt4al_backend.config.catalog import COMPANIONS, MAIN_TASK_FACTS, MAIN_TASKS, PRETEXTS
from pt4al_backend.errors import ConfigError, TrainingImpossible
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.frames import Shape
from pt4al_backend.images.mask_files import MaskFiles
from pt4al_backend.learn import devices, networks, saved
from pt4al_backend.learn.augmentation import Centre
from pt4al_backend.learn.best_epoch import BestEpoch
from pt4al_backend.learn.checkpoint import Checkpoint
from pt4al_backend.learn.companions.base import Companion, CompanionInput
from pt4al_backend.learn.evaluation import Evaluation, sampler_of, to_float16
from pt4al_backend.learn.inference import infer, score, scoring_size
from pt4al_backend.learn.initial_weights import InitialWeights
from pt4al_backend.learn.loop import Recipe, Training
from pt4al_backend.learn.minibatches import Data, Targets
from pt4al_backend.learn.networks import MEAN, STD, Form, pooled
from pt4al_backend.learn.objective import Trainable
from pt4al_backend.learn.pretext import holdout
from pt4al_backend.learn.pretext.base import Pretext
from pt4al_backend.learn.pretext.holdout import Scale
from pt4al_backend.learn.progress import Progress, Report
from pt4al_backend.learn.stored_images import StoredImages
from pt4al_backend.learn.tasks.base import MainTask

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Job:
    """What to do, as the worker wrote it into a folder. ``shape`` is what networks see, ``stored`` the store's.

    ``wants`` is what a strategy wants beside losses or confidences, of "features" and "posteriors"; ``companion`` the one
    that is trained for it, "" for none, and ``asks`` how many candidates it is going to ask. ``best_epoch`` is the
    benchmark's (see ``selection``).
    """

    folder: Path
    kind: str
    task: str
    settings: ProjectSettings
    device: torch.device
    pretrained: str
    pixels: Path
    shape: Shape
    stored: Shape
    masks: Path | None
    learner: Path | None
    previous: Path | None
    classes: tuple[str, ...]
    wants: frozenset[str]
    companion: str
    asks: int
    best_epoch: bool
    fingerprint: str

    @classmethod
    def read(cls, folder: Path) -> "Job":
        """Reads ``job.json`` and fingerprints it with the arrays beside it.

        Raises:
            ConfigError: the job is incomplete.
            TrainingImpossible: its device is not there.
        """
        digest = hashlib.sha256(__version__.encode())
        try:
            for file in sorted([folder / "job.json", *folder.glob("*.npy"), *folder.glob("*.npz")]):
                digest.update(file.read_bytes())
            given = json.loads((folder / "job.json").read_text())
            return cls(
                folder=folder,
                kind=given["kind"],
                task=given["task"],
                settings=ProjectSettings(**given["settings"]),
                device=devices.choose(given["device"]),
                pretrained=given["pretrained"],
                pixels=Path(given["pixels"]),
                shape=_shape(given["shape"]),
                stored=_shape(given["stored"]),
                masks=Path(given["masks"]) if given.get("masks") else None,
                learner=Path(given["learner"]) if given.get("learner") else None,
                previous=Path(given["previous"]) if given.get("previous") else None,
                classes=tuple(given.get("classes", ())),
                wants=frozenset(given.get("wants", ())),
                companion=given.get("companion", ""),
                asks=int(given.get("asks", 0)),
                best_epoch=bool(given.get("best_epoch", False)),
                fingerprint=digest.hexdigest(),
            )
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"The job in {folder.name} cannot be read ({type(error).__name__}: {error}).") from error

    def form(self) -> Form:
        """The form of this job's bodies."""
        return MAIN_TASKS.load(self.task, MainTask).form(self.shape, self.settings, self.device)

    def rows(self, name: str) -> NDArray[np.int64]:
        """An array of rows beside the job."""
        return np.asarray(np.load(self.folder / name, allow_pickle=False), dtype=np.int64)

    def labelled(self, name: str, task: MainTask, scratch: Path) -> tuple[NDArray[np.int64], Targets]:
        """Rows beside the job, and the targets that their labels are to the task."""
        with np.load(self.folder / f"{name}.npz", allow_pickle=False) as arrays:
            rows, labels = arrays["rows"].astype(np.int64), arrays["labels"].tolist()
        return rows, task.targets(labels, MaskFiles(self.masks) if self.masks else None, scratch / f"{name}.u8")

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder beside the job, for as long as it is worked on."""
        folder = self.folder / "scratch"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sources(self, report: Report) -> InitialWeights:
        """Where this job's initial weights may come from."""

        def note(text: str) -> None:
            report(Progress("preparing", 0, 0, 0, 0, text))

        init, warm_start = self.settings.init, self.settings.warm_start
        return InitialWeights(init, warm_start, self.learner, self.previous, self.pretrained, note)

    def describe(self, form: Form) -> dict[str, Any]:
        """What a manifest says of a network and its pixels, enough to load it elsewhere."""
        return {
            "fingerprint": self.fingerprint,
            "task": self.task,
            "settings": self.settings.model_dump(mode="json"),
            "shape": self.shape,
            "stored": self.stored,
            "normalisation": {"mean": MEAN, "std": STD, "within": "network"},
            "network": asdict(form),
            "device": self.device.type,
        }


def _shape(sides: Sequence[int]) -> Shape:
    height, width = sides
    return int(height), int(width)


def _train_learner(job: Job, images: StoredImages, report: Report) -> tuple[Pretext, str, float]:
    """The learner, where its weights came from, and the seconds of the processes that worked on it before."""
    body = networks.build(job.form())
    used = job.sources(report).init_learner(body)
    learner = PRETEXTS.load(job.settings.pretext or MAIN_TASK_FACTS[job.task].pretext, Pretext)(body)
    training = Training(
        learner,
        images,
        learner.recipe(len(images), job.settings, job.device, fresh=used == "fresh"),
        device=job.device,
        seed=job.settings.seed,
        phase="pretext",
        report=report,
        checkpoint=Checkpoint(job.folder / CHECKPOINT, job.fingerprint),
    )
    training.run()
    return learner, used, training.earlier


def _describe(job: Job, learner: Pretext, images: StoredImages, report: Report) -> NDArray[np.float16]:
    """What the learner tells images by, its body's pooled features [n, d]."""
    parts = [np.empty((0, learner.body.features), np.float16)]

    def look(images: Tensor) -> tuple[Tensor, ...]:
        return (pooled(learner.body(images)),)

    def take(_: NDArray[np.int64], rows: tuple[NDArray[Any], ...]) -> None:
        parts.append(to_float16(rows[0]))

    size = scoring_size(job.device, job.shape, 1)
    infer(learner.model, look, images, size, take, device=job.device, report=report)
    return np.concatenate(parts)


def _held_out(job: Job, images: int) -> NDArray[np.bool_]:
    share = job.settings.pretext_holdout if job.learner is None else 0.0
    return holdout.choose(images, share, np.random.default_rng(job.settings.seed))


def rank(job: Job, report: Report) -> None:
    """Trains the pretext learner on the pool, unless the job brings one, and scores every image with it.

    A part of the pool is held out of the training (see ``holdout``); a learner that the job brings has seen none of
    the images. Writes ``result/``: ``losses.npy`` float64 [n] in the order of ``rows.npy``, what a trained learner needs to
    score later imports, and ``features.npy`` float16 [n, d] if they are wanted.

    Raises:
        TrainingImpossible: too few images, or losses that are not finite.
        StoreCorrupt: the image store or the learner is damaged.
    """
    torch.manual_seed(job.settings.seed)
    rows = job.rows("rows.npy")
    held = _held_out(job, len(rows))
    with FrameFile(job.pixels, job.stored) as pixels:
        start = time.monotonic()
        if job.learner is None:
            learner, init, earlier = _train_learner(job, StoredImages(pixels, rows[~held], Centre(job.shape)), report)
        else:
            learner, init, earlier = saved.load_learner(job.learner), "pretext", 0.0
        trained = time.monotonic()
        images = StoredImages(pixels, rows, Centre(job.shape))
        size = scoring_size(job.device, job.shape, learner.views)
        scores = score(learner, images, size, device=job.device, report=report)
        features = _describe(job, learner, images, report) if "features" in job.wants else None
        seconds = {"train": earlier + trained - start, "score": time.monotonic() - trained}
    losses = scores[:, 0].astype(np.float64)
    if not np.isfinite(losses).all():
        raise TrainingImpossible("The pretext losses are not all finite.", "Set learning_rate in the extra params to less.")
    manifest = {
        **job.describe(learner.body.form),
        "kind": "ranking",
        "pretext": learner.name,
        "init": init,
        "quality": asdict(learner.quality(scores[held] if held.any() else scores)),
        "seconds": seconds,
        "images": len(rows),
        "held_out": int(held.sum()),
    }
    with artefacts.writing(job.folder / "result", **manifest) as folder:
        if job.learner is None:
            scale = Scale.of(losses, held)
            scale.save(folder)
            saved.save(learner, folder)
            losses[held] = scale(losses[held])
        else:
            losses = Scale.load(job.learner)(losses)
        np.save(folder / "losses.npy", losses)
        if features is not None:
            np.save(folder / "features.npy", features)


def learn(job: Job, report: Report) -> None:
    """Trains the main task on the labels at hand, from its initial weights, then looks at control picks and candidates.

    A companion, if a strategy has one, is trained beside it or after it, and adds its confidences of the candidates.

    Reads ``rows`` and ``labels`` of ``train.npz`` and ``control.npz``. Writes ``result/``: the model's weights;
    ``candidates.npz``, confidences and answers in the order of ``candidates.npy``, and beside it what is wanted of these
    and of the images in ``train.npz`` (see ``Evaluation.save``); ``masks/``, the answers that are masks; and in the
    manifest how the control picks were answered, and everything that loading the model elsewhere takes.

    Raises:
        TrainingImpossible: fewer than two classes, an unknown label, a loss that is not finite, or too little memory.
        StoreCorrupt: the image store or a mask is damaged.
    """
    torch.manual_seed(job.settings.seed)
    task = MAIN_TASKS.load(job.task, MainTask)(networks.build(job.form()), job.classes, job.shape, job.settings)
    with FrameFile(job.pixels, job.stored) as pixels, job.scratch() as scratch:
        rows, targets = job.labelled("train", task, scratch)
        control = job.labelled("control", task, scratch)
        companion = COMPANIONS.load(job.companion, Companion)(task)
        start = time.monotonic()
        training_data = task.training_data(pixels, rows, targets)
        trainable, tested = companion.trainable(), StoredImages(pixels, control[0], Centre(job.shape))
        best = BestEpoch(task, trainable, tested, control[1], job.device) if job.best_epoch else None
        recipe, used, earlier = _train(job, task, trainable, training_data, report, best)
        trained = time.monotonic()
        evaluation = _evaluate(job, task, pixels, control, rows, scratch / "masks", report)
        scored = time.monotonic()
        accompanied = {}
        if job.companion:
            candidates = job.rows("candidates.npy")
            learned, others = (StoredImages(pixels, each, Centre(job.shape)) for each in (rows, candidates))
            inputs = CompanionInput(learned, others, training_data, recipe, job.asks, job.shape, job.device, job.settings, report)
            torch.manual_seed(job.settings.seed)  # a training that was resumed has drawn less
            evaluation.add_confidences(job.companion, companion.confidences(inputs) if len(candidates) else np.empty(0))
            accompanied = {"companion": time.monotonic() - scored}
        manifest = {
            **job.describe(task.body.form),
            "kind": "model",
            "classes": job.classes,
            "init": used,
            "recipe": asdict(recipe),
            "seconds": {"train": earlier + trained - start, "score": scored - trained, **accompanied},
            "train_size": len(rows),
            "control": evaluation.control_metrics(),
        }
        with artefacts.writing(job.folder / "result", **manifest) as folder:
            evaluation.save(folder)
            if (scratch / "masks").exists():
                (scratch / "masks").rename(folder / "masks")
            saved.save(task, folder)


def _train(
    job: Job, task: MainTask, trained: Trainable, training_data: Data, report: Report, best: BestEpoch | None
) -> tuple[Recipe, str, float]:
    """How the task was trained, where its weights came from, and the seconds of the processes that worked on it before."""
    used = job.sources(report).init_task(task)
    recipe = task.recipe(len(training_data), job.device, fresh=used == "fresh")
    training = Training(
        trained,
        training_data,
        recipe,
        device=job.device,
        seed=job.settings.seed,
        report=report,
        # a checkpoint holds the last epoch's weights: what was best before a kill would be lost
        checkpoint=Checkpoint(job.folder / CHECKPOINT, job.fingerprint) if best is None else None,
        after_epoch=best or (lambda: None),
    )
    training.run()
    if best is not None:
        best.restore()
    return recipe, used, training.earlier


def _evaluate(
    job: Job,
    task: MainTask,
    pixels: FrameFile,
    control: tuple[NDArray[np.int64], Targets],
    learned: NDArray[np.int64],
    masks: Path,
    report: Report,
) -> Evaluation:
    """One pass over all: several short passes would fill up several last minibatches."""
    rows, truths = control
    candidates = job.rows("candidates.npy")
    evaluation = Evaluation(task, truths, len(rows), len(candidates), sampler_of(job.settings), masks, job.wants)
    seen = [rows, candidates, learned] if "features" in job.wants else [rows, candidates]
    images = StoredImages(pixels, np.concatenate(seen), Centre(job.shape))
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


#: What each kind of job does.
KINDS: dict[str, Callable[[Job, Report], None]] = {"rank": rank, "learn": learn}
