"""The two pieces of work that a round gives to a machine: rank a pool, and learn from labels.

Both read a job and write an artefact; neither knows Label Studio, the store or the process it runs in.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pt4al_backend import __version__, artefacts, devices, holdout, pretext, tasks, weights
from pt4al_backend.augmentation import Centre
from pt4al_backend.errors import ConfigError, TrainingImpossible
from pt4al_backend.frames import Shape
from pt4al_backend.holdout import Scale
from pt4al_backend.minibatches import Images
from pt4al_backend.networks import MEAN, STD, Body, Form
from pt4al_backend.pixels import Pixels
from pt4al_backend.pretext.base import Pretext
from pt4al_backend.settings import ProjectSettings
from pt4al_backend.training import Checkpoint, Progress, Report, Training, score, scoring_size
from pt4al_backend.weights import Sources

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Job:
    """What to do, as the worker wrote it into a folder. ``shape`` is what networks see, ``stored`` the store's."""

    folder: Path
    kind: str
    settings: ProjectSettings
    device: torch.device
    pretrained: str
    pixels: Path
    shape: Shape
    stored: Shape
    learner: Path | None
    previous: Path | None
    classes: tuple[str, ...]
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
                settings=ProjectSettings(**given["settings"]),
                device=devices.choose(given["device"]),
                pretrained=given["pretrained"],
                pixels=Path(given["pixels"]),
                shape=_shape(given["shape"]),
                stored=_shape(given["stored"]),
                learner=Path(given["learner"]) if given.get("learner") else None,
                previous=Path(given["previous"]) if given.get("previous") else None,
                classes=tuple(given.get("classes", ())),
                fingerprint=digest.hexdigest(),
            )
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"The job in {folder.name} cannot be read ({type(error).__name__}: {error}).") from error

    def form(self) -> Form:
        """The network's form for this job: width 64 on a GPU and 16 on a CPU unless set."""
        return Form.of(self.shape, self.settings.width or (64 if self.device.type == "cuda" else 16))

    def rows(self, name: str) -> NDArray[np.int64]:
        """An array of rows beside the job."""
        return np.asarray(np.load(self.folder / name, allow_pickle=False), dtype=np.int64)

    def labelled(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and targets beside the job."""
        with np.load(self.folder / name, allow_pickle=False) as arrays:
            return arrays["rows"].astype(np.int64), arrays["targets"].astype(np.int64)

    def sources(self, report: Report) -> Sources:
        """Where this job's initial weights may come from."""

        def note(text: str) -> None:
            report(Progress("preparing", 0, 0, 0, 0, text))

        init, warm_start = self.settings.init, self.settings.warm_start
        return Sources(init, warm_start, self.learner, self.previous, self.pretrained, note)

    def describe(self, form: Form) -> dict[str, Any]:
        """What a manifest says of a network and its pixels, enough to load it elsewhere."""
        return {
            "fingerprint": self.fingerprint,
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


def _train_learner(job: Job, images: Images, report: Report) -> tuple[Pretext, str]:
    body = Body(job.form())
    used = job.sources(report).give_learner(body)
    learner = pretext.load(job.settings.pretext)(body)
    Training(
        learner,
        images,
        learner.recipe(len(images), job.settings, job.device, fresh=used == "fresh"),
        device=job.device,
        seed=job.settings.seed,
        phase="pretext",
        report=report,
        checkpoint=Checkpoint(job.folder / CHECKPOINT, job.fingerprint),
    ).run()
    return learner, used


def _held_out(job: Job, images: int) -> NDArray[np.bool_]:
    if job.learner is not None or job.settings.preset == "paper":
        return np.zeros(images, dtype=np.bool_)
    return holdout.choose(images, np.random.default_rng(job.settings.seed))


def rank(job: Job, report: Report) -> None:
    """Trains the pretext learner on the pool, unless the job brings one, and scores every image with it.

    A part of the pool is held out of the training (see ``holdout``); a learner that the job brings has seen none of
    the images. Writes ``result/``: ``losses.npy`` float64 [n] in the order of ``rows.npy``, and what a trained learner
    needs to score later imports.

    Raises:
        TrainingImpossible: too few images, or losses that are not finite.
        StoreCorrupt: the image store or the learner is damaged.
    """
    torch.manual_seed(job.settings.seed)
    rows = job.rows("rows.npy")
    held = _held_out(job, len(rows))
    with Pixels(job.pixels, job.stored) as pixels:
        start = time.monotonic()
        if job.learner is None:
            learner, init = _train_learner(job, Images(pixels, rows[~held], Centre(job.shape)), report)
        else:
            learner, init = weights.load_learner(job.learner), "pretext"
        trained = time.monotonic()
        images = Images(pixels, rows, Centre(job.shape))
        size = scoring_size(job.device, job.shape, learner.views)
        scores = score(learner, images, size, device=job.device, report=report)
        seconds = {"train": trained - start, "score": time.monotonic() - trained}
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
            weights.save(learner, folder)
            losses[held] = scale(losses[held])
        else:
            losses = Scale.load(job.learner)(losses)
        np.save(folder / "losses.npy", losses)


def learn(job: Job, report: Report) -> None:
    """Trains the main task on the labels at hand, from its initial weights, then scores control picks and candidates.

    Writes ``result/``: the model's weights, ``candidates.npy`` and ``control.npy`` float32 posteriors in the order of
    the job's rows, and in the manifest everything that loading the model elsewhere takes.

    Raises:
        TrainingImpossible: fewer than two classes, a loss that is not finite, or too little memory.
        StoreCorrupt: the image store is damaged.
    """
    torch.manual_seed(job.settings.seed)
    rows, targets = job.labelled("train.npz")
    control_rows, control_targets = job.labelled("control.npz")
    task = tasks.load("classification")(Body(job.form()), job.classes, job.shape)
    task.learn_from(targets, job.settings)
    used = job.sources(report).give_task(task)
    recipe = task.recipe(len(rows), job.settings, job.device, fresh=used == "fresh")
    with Pixels(job.pixels, job.stored) as pixels:
        start = time.monotonic()
        Training(
            task,
            Images(pixels, rows, task.prepare, targets),
            recipe,
            device=job.device,
            seed=job.settings.seed,
            report=report,
            checkpoint=Checkpoint(job.folder / CHECKPOINT, job.fingerprint),
        ).run()
        trained = time.monotonic()
        # One pass over both: two short passes would fill up two last minibatches.
        scored_rows = np.concatenate([control_rows, job.rows("candidates.npy")])
        scores = score(
            task,
            Images(pixels, scored_rows, Centre(job.shape)),
            scoring_size(job.device, job.shape, task.views),
            device=job.device,
            report=report,
        )
        scored = time.monotonic()
    if not np.isfinite(scores).all():
        raise TrainingImpossible("The model's posteriors are not all finite.", "Set learning_rate in the extra params to less.")
    control, candidates = np.split(scores, [len(control_rows)])
    manifest = {
        **job.describe(task.body.form),
        "kind": "model",
        "task": task.name,
        "classes": job.classes,
        "init": used,
        "recipe": asdict(recipe),
        "seconds": {"train": trained - start, "score": scored - trained},
        "train_size": len(rows),
        "control": task.metrics(control, control_targets),
    }
    with artefacts.writing(job.folder / "result", **manifest) as folder:
        np.save(folder / "candidates.npy", candidates)
        np.save(folder / "control.npy", control)
        weights.save(task, folder)


#: What each kind of job does.
KINDS: dict[str, Callable[[Job, Report], None]] = {"rank": rank, "learn": learn}
