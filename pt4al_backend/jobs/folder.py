"""A job's folder, which is the whole interface between those who request work and the child that does it.

It holds ``job.json``, the arrays that it is about, a checkpoint and a log while it is worked on, and at last ``result``, an
artefact.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend import artefacts
from pt4al_backend.jobs.spec import JobKind, JobSpec, parse
from pt4al_backend.locks import held

SPEC = "job.json"
CHECKPOINT = "checkpoint.pt"
LOG = "log.txt"
RESULT = "result"
_LOCK = "lock"


def prepare(folder: Path, spec: JobSpec, **arrays: NDArray[Any] | Mapping[str, NDArray[Any]]) -> None:
    """Writes a job's folder in one step; an array becomes ``NAME.npy``, a mapping of arrays ``NAME.npz``.

    What was in the folder is gone.
    """
    with artefacts.writing(folder) as draft:
        for name, value in arrays.items():
            if isinstance(value, Mapping):
                np.savez(draft / f"{name}.npz", **value)  # type: ignore[arg-type]
            else:
                np.save(draft / f"{name}.npy", value)
        (draft / SPEC).write_text(spec.model_dump_json(indent=1))


def job_of(folder: Path) -> JobSpec | None:
    """The job that a folder holds; None if there is none, it is damaged, or it is of another version."""
    try:
        return parse((folder / SPEC).read_bytes())
    except (OSError, ValueError):
        return None


def sound_job_of(folder: Path) -> JobSpec | None:
    """The job that a folder holds, if it and its arrays are what was written; None: it has to be prepared again."""
    return job_of(folder) if artefacts.is_complete(folder) else None


@contextmanager
def locked(folder: Path, *, wait: bool) -> Iterator[bool]:
    """Keeps a job to this process; False if another one has it. ``wait``: until that one, an earlier worker's, has ended."""
    with (folder / _LOCK).open("w") as file, held(file, wait=wait) as is_ours:
        yield is_ours


def is_under_way(folder: Path) -> bool:
    """Whether a process does the job, such as an orphan of an earlier worker."""
    if not folder.is_dir():
        return False
    with locked(folder, wait=False) as is_free:
        return not is_free


def forget_unfinished(project: Path) -> None:
    """Deletes the jobs below a project's folder that have no result: what they name is gone."""
    for folder in [*(found for kind in JobKind for found in project.glob(f"{kind}-*")), project / "score"]:
        if folder.is_dir() and not (folder / RESULT).exists():
            shutil.rmtree(folder)


def result_of(folder: Path) -> Path | None:
    """The folder of a finished job's result, or None."""
    return folder / RESULT if artefacts.is_complete(folder / RESULT) else None
