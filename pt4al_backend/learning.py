"""The two pieces of work that a round gives to a machine: rank a pool, and learn from labels.

Both read a job and write an artefact; neither knows Label Studio, the store or the process it runs in.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pt4al_backend import __version__, artefacts, devices, pretext, pretrained, tasks
from pt4al_backend.augmentation import Centre
from pt4al_backend.errors import ConfigError, StoreCorrupt, TrainingImpossible
from pt4al_backend.minibatches import Images
from pt4al_backend.networks import MEAN, STD, Body, Form
from pt4al_backend.pixels import Pixels
from pt4al_backend.pretext.base import Pretext
from pt4al_backend.settings import ProjectSettings
from pt4al_backend.tasks.base import Task
from pt4al_backend.training import Checkpoint, Objective, Progress, Report, Training, score, scoring_size

WEIGHTS = "weights.pt"


@dataclass(frozen=True)
class Job:
    """What to do, as the worker wrote it into a folder. ``size`` is the training size, ``stored_size`` that of the store."""

    folder: Path
    kind: str
    settings: ProjectSettings
    device: torch.device
    pretrained: str
    pixels: Path
    size: int
    stored_size: int
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
                size=int(given["size"]),
                stored_size=int(given["stored_size"]),
                learner=Path(given["learner"]) if given.get("learner") else None,
                previous=Path(given["previous"]) if given.get("previous") else None,
                classes=tuple(given.get("classes", ())),
                fingerprint=digest.hexdigest(),
            )
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"The job in {folder.name} cannot be read ({type(error).__name__}: {error}).") from error

    def form(self) -> Form:
        """The network's form for this job: width 64 on a GPU and 16 on a CPU unless set."""
        return Form.of(self.size, self.settings.width or (64 if self.device.type == "cuda" else 16))

    def rows(self, name: str) -> NDArray[np.int64]:
        """An array of rows beside the job."""
        return np.asarray(np.load(self.folder / name, allow_pickle=False), dtype=np.int64)

    def labelled(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and targets beside the job."""
        with np.load(self.folder / name, allow_pickle=False) as arrays:
            return arrays["rows"].astype(np.int64), arrays["targets"].astype(np.int64)

    def describe(self, form: Form) -> dict[str, Any]:
        """What a manifest says of a network and its pixels, enough to load it elsewhere."""
        return {
            "fingerprint": self.fingerprint,
            "settings": self.settings.model_dump(mode="json"),
            "size": self.size,
            "stored_size": self.stored_size,
            "normalisation": {"mean": MEAN, "std": STD, "within": "network"},
            "network": asdict(form),
            "device": self.device.type,
        }


def save_weights(objective: Objective, folder: Path) -> None:
    """Writes the model's weights as a state dict on the CPU."""
    torch.save({name: value.cpu() for name, value in objective.model.state_dict().items()}, folder / WEIGHTS)


def load_weights(objective: Objective, folder: Path) -> None:
    """Reads them back.

    Raises:
        StoreCorrupt: they are not this model's.
    """
    try:
        objective.model.load_state_dict(torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True))
    except Exception as error:  # a damaged archive surfaces as any of a dozen types
        raise StoreCorrupt(
            f"The weights of {folder.name} cannot be loaded ({type(error).__name__}).",
            f"Delete {folder}; it is made again by the next training.",
        ) from error


def load_learner(folder: Path) -> Pretext:
    """The pretext learner in an artefact of ``rank``.

    Raises:
        StoreCorrupt: the artefact is damaged, or of a version with other pretext tasks.
    """
    manifest = artefacts.manifest(folder)
    if manifest.get("pretext") not in pretext.PRETEXTS:
        raise StoreCorrupt(f"{folder.name} is no pretext learner.", f"Delete {folder}; it is made again by the next training.")
    learner = pretext.load(manifest["pretext"])(Body(Form(**manifest["network"])))
    load_weights(learner, folder)
    return learner


def load_model(folder: Path) -> tuple[Task, dict[str, Any]]:
    """The main task's model in an artefact of ``learn``, and its manifest.

    Raises:
        StoreCorrupt: the artefact is damaged, or of a version with other tasks.
    """
    manifest = artefacts.manifest(folder)
    if manifest.get("task") not in tasks.TASKS:
        raise StoreCorrupt(f"{folder.name} is no model.", f"Delete {folder}; it is made again by the next training.")
    body = Body(Form(**manifest["network"]))
    task = tasks.load(manifest["task"])(body, tuple(manifest["classes"]), manifest["size"])
    load_weights(task, folder)
    return task, manifest


def _notes(report: Report) -> Callable[[str], None]:
    return lambda text: report(Progress("prepare", 0, 0, 0, 0, text))


def _train_learner(job: Job, images: Images, report: Report) -> Pretext:
    body = Body(job.form())
    weights = None
    if body.form == Form("imagenet", 64) and job.settings.init in ("auto", "imagenet"):
        weights = pretrained.imagenet(job.pretrained, _notes(report))
        if weights is not None:
            body.load_imagenet(weights)
    learner = pretext.load(job.settings.pretext)(body)
    Training(
        learner,
        images,
        learner.recipe(len(images), job.settings, job.device, fresh=weights is None),
        device=job.device,
        seed=job.settings.seed,
        phase="pretext",
        report=report,
        checkpoint=Checkpoint(job.folder / "checkpoint.pt", job.fingerprint),
    ).run()
    return learner


def rank(job: Job, report: Report) -> None:
    """Trains the pretext learner on the pool, unless the job brings one, and scores every image with it.

    Writes ``result/``: ``losses.npy`` float64 [n] in the order of ``rows.npy``, the learner's weights if it was trained.

    Raises:
        TrainingImpossible: too few images, or losses that are not finite.
        StoreCorrupt: the image store or the learner is damaged.
    """
    torch.manual_seed(job.settings.seed)
    rows = job.rows("rows.npy")
    with Pixels(job.pixels, job.stored_size) as pixels:
        images = Images(pixels, rows, Centre(job.size))
        start = time.monotonic()
        learner = load_learner(job.learner) if job.learner else _train_learner(job, images, report)
        trained = time.monotonic()
        scores = score(learner, images, scoring_size(job.device, job.size, learner.views), device=job.device, report=report)
        scored = time.monotonic()
    losses = scores[:, 0].astype(np.float64)
    if not np.isfinite(losses).all():
        raise TrainingImpossible("The pretext losses are not all finite.", "Set learning_rate in the extra params to less.")
    manifest = {
        **job.describe(learner.body.form),
        "kind": "ranking",
        "pretext": learner.name,
        "trained": job.learner is None,
        "quality": asdict(learner.quality(scores)),
        "seconds": {"train": trained - start, "score": scored - trained},
        "images": len(rows),
    }
    with artefacts.writing(job.folder / "result", **manifest) as folder:
        np.save(folder / "losses.npy", losses)
        if job.learner is None:
            save_weights(learner, folder)
    Checkpoint(job.folder / "checkpoint.pt", job.fingerprint).remove()
