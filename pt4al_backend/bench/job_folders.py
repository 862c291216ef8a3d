"""The jobs of the benchmark: those of the live engine, on a data set whose labels are all known.

Folders of trainings on the whole pool are named by all that such a training depends on: runs and analyses may share them.
"""

import hashlib
import json
from collections.abc import Callable, Set
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pt4al_backend import artefacts
from pt4al_backend.bench.locks import held
from pt4al_backend.bench.truth import Truth
from pt4al_backend.config import ProjectSettings, server_settings
from pt4al_backend.config.catalog import MAIN_TASK_FACTS
from pt4al_backend.jobs import learn, runner
from pt4al_backend.jobs.learn import Job
from pt4al_backend.learn import devices
from pt4al_backend.learn.progress import Report, silent

Ids = NDArray[np.int64]
Json = dict[str, Any]

#: Settings that a ranking depends on, beside the pretext task.
OF_RANKING = {
    "pretext_epochs",
    "pretext_holdout",
    "encoder",
    "architecture",
    "width",
    "learning_rate",
    "seed",
}
#: Settings that a training of the main task on fresh weights depends on.
OF_LEARNING = {
    "epochs",
    "schedule",
    "minibatch_size",
    "class_weights",
    "encoder",
    "architecture",
    "unlabelled",
    "background",
    "width",
    "learning_rate",
    "seed",
}


def _for_ranking(truth: Truth, options: ProjectSettings) -> ProjectSettings:
    """The settings that matter to a ranking; all else is as by default."""
    matters = options.model_dump(include=set(OF_RANKING))
    init: Literal["imagenet", "fresh"] = "imagenet" if options.init == "imagenet" else "fresh"
    return ProjectSettings(**matters, pretext=options.pretext or MAIN_TASK_FACTS[truth.task].pretext, init=init)


def ranking_name(truth: Truth, options: ProjectSettings, device: str) -> str:
    """Name of the folder of a ranking: equal for runs that may share it, those that would rank the same pool alike."""
    own = _for_ranking(truth, options)
    return f"ranking-{own.pretext}-seed-{own.seed}-{_digest(truth, own, device, OF_RANKING, {'init': own.init})}"


def supervised_name(truth: Truth, options: ProjectSettings, device: str) -> str:
    """The same of a training on the whole pool with its labels, from fresh weights."""
    more = {"task": truth.task, "classes": truth.classes, "labels": truth.labels[: truth.pool].tolist()}
    return f"supervised-seed-{options.seed}-{_digest(truth, options, device, OF_LEARNING, more)}"


def _digest(truth: Truth, options: ProjectSettings, device: str, settings: Set[str], more: Json) -> str:
    matters = {**options.model_dump(mode="json", include=set(settings)), "device": devices.choose(device).type}
    matters |= {**more, "shape": truth.shape, "frames": truth.digest, "images": truth.ids[: truth.pool].tolist()}
    return hashlib.sha256(json.dumps(matters, sort_keys=True).encode()).hexdigest()[:12]


def digest(*arrays: NDArray[Any]) -> str:
    """Equal for arrays of equal kinds, shapes and values."""
    found = hashlib.sha256()
    for each in arrays:
        found.update(f"{each.dtype.str} {each.shape} ".encode() + each.tobytes())
    return found.hexdigest()


def describe(kind: str, truth: Truth, options: ProjectSettings, device: str) -> Json:
    """What all jobs say."""
    return {
        "kind": kind,
        "task": truth.task,
        "masks": str(truth.masks),
        "settings": options.model_dump(mode="json"),
        "device": device,
        "pretrained": server_settings().pretrained if options.init == "imagenet" else "off",
        "pixels": str(truth.pixels),
        "stored": truth.stored,
        "shape": truth.shape,
    }


def do(work: Callable[[Job, Report], None], folder: Path, job: Json, report: Report, **arrays: Any) -> None:
    """Does a job unless its folder holds the result: from the last checkpoint, if the same one was stopped there."""
    if runner.job_of(folder) != json.loads(json.dumps(job)) or not artefacts.is_complete(folder):
        runner.prepare(folder, job, **arrays)
    if runner.result_of(folder) is None:
        work(Job.read(folder), report)
        (folder / learn.CHECKPOINT).unlink(missing_ok=True)


def rank(folder: Path, truth: Truth, options: ProjectSettings, device: str, report: Report = silent) -> Path:
    """The artefact of a pretext learner of the pool with its losses; it is trained unless the folder holds it.

    The job is that of all runs that share the folder, so that each goes on where another was stopped.

    Processes that ask for the same one train it once: the others wait.
    """
    with held(folder, wait=True):
        if runner.result_of(folder) is None:
            wants = ["features"]  # of some run, if not of this
            job = {**describe("rank", truth, _for_ranking(truth, options), device), "learner": None, "wants": wants}
            pool = np.arange(truth.pool)
            do(learn.rank, folder, job, report, rows=pool, ids=pool)
    return folder / "result"


def score(
    folder: Path, truth: Truth, learner: Path, rows: Ids, options: ProjectSettings, device: str, report: Report = silent
) -> tuple[NDArray[np.float64], Json]:
    """Losses float64 [n] of images that the learner of an artefact has not seen, and the manifest of that job."""
    job = {**describe("rank", truth, options, device), "learner": str(learner), "wants": []}
    do(learn.rank, folder, job, report, rows=rows, ids=rows)
    losses: NDArray[np.float64] = np.load(folder / "result" / "losses.npy", allow_pickle=False)
    return losses, artefacts.manifest(folder / "result")


def learn_pool(folder: Path, truth: Truth, options: ProjectSettings, device: str, report: Report = silent) -> Path:
    """The artefact of a model that learned the whole pool, and looked at nothing else, trained unless the folder holds it.

    As with rankings, processes that ask for the same one train it once.
    """
    with held(folder, wait=True):
        if runner.result_of(folder) is None:
            none = np.empty(0, np.int64)
            job = {**describe("learn", truth, options, device), "classes": truth.classes}
            lessons = {"train": truth.training_data(np.arange(truth.pool)), "control": truth.training_data(none)}
            do(learn.learn, folder, job, report, **lessons, candidates=none)
    return folder / "result"
