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
CHECKPOINT = "checkpoint.pt"

Note = Callable[[str], None]


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


def _notes(report: Report) -> Note:
    return lambda text: report(Progress("prepare", 0, 0, 0, 0, text))


def _from_imagenet(job: Job, body: Body, note: Note) -> bool:
    if body.form != Form("imagenet", 64):
        note("ImageNet weights fit images above 64 pixels at width 64 only.")
        return False
    weights = pretrained.imagenet(job.pretrained, note)
    if weights is None:
        return False
    body.load_imagenet(weights)
    return True


def _train_learner(job: Job, images: Images, report: Report) -> tuple[Pretext, str]:
    body = Body(job.form())
    wanted = job.settings.init == "imagenet" or (job.settings.init == "auto" and body.form == Form("imagenet", 64))
    used = "imagenet" if wanted and _from_imagenet(job, body, _notes(report)) else "fresh"
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
        learner, init = (load_learner(job.learner), "pretext") if job.learner else _train_learner(job, images, report)
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
        "init": init,
        "quality": asdict(learner.quality(scores)),
        "seconds": {"train": trained - start, "score": scored - trained},
        "images": len(rows),
    }
    with artefacts.writing(job.folder / "result", **manifest) as folder:
        np.save(folder / "losses.npy", losses)
        if job.learner is None:
            save_weights(learner, folder)


def _from_previous(job: Job, task: Task, note: Note) -> bool:
    if job.previous is None:
        return False
    try:
        previous, _ = load_model(job.previous)
    except StoreCorrupt as error:
        note(str(error))
        return False
    if previous.body.form != task.body.form or previous.name != task.name:
        note("The previous model has another form; its weights cannot be taken over.")
        return False
    if previous.classes == task.classes:
        task.model.load_state_dict(previous.model.state_dict())
    else:
        note("The classes have changed since the previous model: its last layer starts afresh.")
        task.body.load_state_dict(previous.body.state_dict())
    return True


def _from_pretext(job: Job, task: Task, note: Note) -> bool:
    if job.learner is None:
        return False
    try:
        learner = load_learner(job.learner)
    except StoreCorrupt as error:
        note(str(error))
        return False
    if learner.body.form != task.body.form:
        note("The pretext learner has another form; its weights are taken over again once it has been retrained.")
        return False
    task.body.load_state_dict(learner.body.state_dict())
    return True


#: Where initial weights come from; each says whether it could give them.
SOURCES: dict[str, Callable[[Job, Task, Note], bool]] = {
    "previous": _from_previous,
    "pretext": _from_pretext,
    "imagenet": lambda job, task, note: _from_imagenet(job, task.body, note),
}

#: Which sources each value of the setting ``init`` tries, in order, before fresh weights. The manifest says what was used.
ORDER: dict[str, tuple[str, ...]] = {
    "auto": ("pretext",),
    "pretext": ("pretext",),
    "imagenet": ("imagenet", "pretext"),
    "fresh": (),
}


def _initialise(job: Job, task: Task, note: Note) -> str:
    """Gives the task its initial weights; returns their source."""
    wanted = ORDER[job.settings.init]
    for source in ("previous", *wanted) if job.settings.warm_start else wanted:
        if SOURCES[source](job, task, note):
            return source
    if job.settings.init != "fresh":
        note(f"Training starts from fresh weights: there are none for init={job.settings.init}.")
    return "fresh"


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
    task = tasks.load("classification")(Body(job.form()), job.classes, job.size)
    task.learn_from(targets, job.settings)
    used = _initialise(job, task, _notes(report))
    recipe = task.recipe(len(rows), job.settings, job.device, fresh=used == "fresh")
    with Pixels(job.pixels, job.stored_size) as pixels:
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
            Images(pixels, scored_rows, Centre(job.size)),
            scoring_size(job.device, job.size, task.views),
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
        save_weights(task, folder)


#: What each kind of job does.
KINDS: dict[str, Callable[[Job, Report], None]] = {"rank": rank, "learn": learn}
