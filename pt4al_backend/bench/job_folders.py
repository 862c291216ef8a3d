"""The jobs of the benchmark: those of the live engine, on a data set whose labels are all known.

Folders of trainings on the whole pool are named by all that such a training depends on: runs and analyses may share them.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from pt4al_backend import artefacts
from pt4al_backend.aliases import Ids, Json
from pt4al_backend.bench.locks import held
from pt4al_backend.bench.truth import Truth
from pt4al_backend.config import Affects, Device, Pretrained, ProjectSettings, server_settings
from pt4al_backend.config.catalog import MAIN_TASK_FACTS
from pt4al_backend.images.frames import Shape
from pt4al_backend.jobs.dispatch import work
from pt4al_backend.jobs.folder import CHECKPOINT, job_of, prepare, result_of
from pt4al_backend.jobs.network_job import NetworkJob
from pt4al_backend.jobs.spec import JobSpec, LearnSpec, RankSpec
from pt4al_backend.learn import devices
from pt4al_backend.progress import Report, silent


def _for_ranking(truth: Truth, options: ProjectSettings) -> ProjectSettings:
    """The settings that a ranking depends on; all else is as by default."""
    matters = options.model_dump(include=set(ProjectSettings.affecting(Affects.LEARNER)))
    init = "imagenet" if options.init == "imagenet" else "fresh"
    return ProjectSettings(**{**matters, "pretext": options.pretext or MAIN_TASK_FACTS[truth.task].pretext, "init": init})


def _for_learning(options: ProjectSettings) -> ProjectSettings:
    """The settings that a training from fresh weights depends on; all else is as by default."""
    matters = options.model_dump(include=set(ProjectSettings.affecting(Affects.MODEL)))
    return ProjectSettings(**{**matters, "pretext": None, "init": "fresh", "warm_start": False})


def ranking_name(truth: Truth, options: ProjectSettings, device: str) -> str:
    """Name of the folder of a ranking: equal for runs that may share it, those that would rank the same pool alike."""
    own = _for_ranking(truth, options)
    return f"ranking-{own.pretext}-seed-{own.seed}-{_digest(truth, own, device)}"


def supervised_name(truth: Truth, options: ProjectSettings, device: str) -> str:
    """The same of a training on the whole pool with its labels, from fresh weights."""
    labels = {"task": truth.task, "classes": truth.classes, "labels": truth.labels[truth.rows].tolist()}
    return f"supervised-seed-{options.seed}-{_digest(truth, _for_learning(options), device, **labels)}"


def _digest(truth: Truth, own: ProjectSettings, device: str, **more: Any) -> str:
    matters = {**own.model_dump(mode="json", exclude_unset=True), "device": devices.choose(device).type, **more}
    matters |= {"shape": truth.shape, "frames": truth.digest, "images": truth.ids[truth.rows].tolist()}
    return hashlib.sha256(json.dumps(matters, sort_keys=True).encode()).hexdigest()[:12]


def digest(*arrays: NDArray[Any]) -> str:
    """Equal for arrays of equal kinds, shapes and values."""
    found = hashlib.sha256()
    for each in arrays:
        found.update(f"{each.dtype.str} {each.shape} ".encode() + each.tobytes())
    return found.hexdigest()


class Common(TypedDict):
    """What all jobs say."""

    task: str
    masks: Path
    settings: ProjectSettings
    device: Device
    pretrained: Pretrained
    weights: Path | None
    frames: Path
    stored: Shape
    shape: Shape


def common(truth: Truth, options: ProjectSettings, device: str) -> Common:
    """What all jobs on a data set say."""
    return {
        "task": truth.task,
        "masks": truth.masks,
        "settings": options,
        "device": cast(Device, device),  # what a job's type refuses, the command has refused already
        "pretrained": server_settings().pretrained if options.init == "imagenet" or options.pretrained_encoder else "off",
        "weights": server_settings().weights_dir,
        "frames": truth.pixels,
        "stored": truth.stored,
        "shape": truth.shape,
    }


def do(folder: Path, spec: JobSpec, report: Report, **arrays: Any) -> None:
    """Does a job unless its folder holds the result: from the last checkpoint, if the same one was stopped there."""
    if job_of(folder) != spec or not artefacts.is_complete(folder):
        prepare(folder, spec, **arrays)
    if result_of(folder) is None:
        work(NetworkJob.read(folder), report)
        (folder / CHECKPOINT).unlink(missing_ok=True)


def rank(folder: Path, truth: Truth, options: ProjectSettings, device: str, report: Report = silent) -> Path:
    """The artefact of a pretext learner of the pool with its losses; it is trained unless the folder holds it.

    The job is that of all runs that share the folder, so that each resumes where another was stopped.

    Processes that ask for the same one train it once: the others wait.
    """
    with held(folder, wait=True):
        if result_of(folder) is None:
            # features are wanted by some run that shares the folder, if not by this one
            spec = RankSpec(**common(truth, _for_ranking(truth, options), device), outputs=("features",))
            do(folder, spec, report, rows=truth.rows, ids=truth.rows)
    return folder / "result"


def score(
    folder: Path, truth: Truth, learner: Path, rows: Ids, options: ProjectSettings, device: str, report: Report = silent
) -> tuple[NDArray[np.float64], Json]:
    """Losses float64 [n] of images that the learner of an artefact has not seen, and the manifest of that job."""
    do(folder, RankSpec(**common(truth, options, device), learner=learner), report, rows=rows, ids=rows)
    losses: NDArray[np.float64] = np.load(folder / "result" / "losses.npy", allow_pickle=False)
    return losses, artefacts.manifest(folder / "result")


def learn_pool(folder: Path, truth: Truth, options: ProjectSettings, device: str, report: Report = silent) -> Path:
    """The artefact of a model that learned the whole pool, and looked at nothing else, trained unless the folder holds it.

    As with rankings, processes that ask for the same one train it once.
    """
    with held(folder, wait=True):
        if result_of(folder) is None:
            none = np.empty(0, np.int64)
            spec = LearnSpec(**common(truth, options, device), classes=truth.classes)
            train, control = truth.training_data(truth.rows), truth.training_data(none)
            do(folder, spec, report, train=train, control=control, candidates=none)
    return folder / "result"
