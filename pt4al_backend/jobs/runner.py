"""Training in a child process: it can be killed at any moment, and goes on from its last checkpoint.

The job's folder is the whole interface: inputs, checkpoint and result lie in it. See ``child`` for what runs inside.
"""

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pt4al_backend import artefacts
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.processes import lines_of

log = logging.getLogger(__name__)

RESTARTS = 3  # a child that a signal killed is started again so often
TICK_SECONDS = 0.5

Json = dict[str, Any]


def prepare(folder: Path, job: Json, **arrays: NDArray[Any] | Mapping[str, NDArray[Any]]) -> None:
    """Writes a job's folder in one step; an array becomes ``NAME.npy``, a mapping of arrays ``NAME.npz``."""
    with artefacts.writing(folder) as draft:
        for name, value in arrays.items():
            if isinstance(value, Mapping):
                np.savez(draft / f"{name}.npz", **value)  # type: ignore[arg-type]
            else:
                np.save(draft / f"{name}.npy", value)
        (draft / "job.json").write_text(json.dumps(job, indent=1))


def job_of(folder: Path) -> Json | None:
    """The job that a folder holds; None if there is none, or it is damaged."""
    try:
        return dict(json.loads((folder / "job.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def result_of(folder: Path) -> Path | None:
    """The folder of a finished job's result, or None."""
    return folder / "result" if artefacts.is_complete(folder / "result") else None


def run(folder: Path, on_progress: Callable[[Json], None], on_tick: Callable[[], None]) -> Path:
    """Runs a job to its result; ``on_tick`` is called about twice a second while the child works.

    Raises:
        TrainingImpossible: the child said why, or was killed more than ``RESTARTS`` times.
    """
    for attempt in range(RESTARTS + 1):
        done = result_of(folder)
        if done is not None:
            (folder / "checkpoint.pt").unlink(missing_ok=True)
            return done
        shutil.rmtree(folder / "result", ignore_errors=True)
        status, failure, tail = _run_once(folder, on_progress, on_tick)
        if failure:
            raise TrainingImpossible(str(failure["error"]), str(failure.get("remedy", "")))
        if status > 0:
            raise TrainingImpossible(
                f"The training process ended with status {status}: {tail}", f"Its log is {folder / 'log.txt'}."
            )
        if status < 0:
            log.warning("The training process was killed by signal %s; attempt %s resumes it.", -status, attempt + 2)
    raise TrainingImpossible(
        f"The training process was killed {RESTARTS + 1} times.",
        "Short of memory? Lower minibatch_size or image_size.",
    )


def _run_once(folder: Path, on_progress: Callable[[Json], None], on_tick: Callable[[], None]) -> tuple[int, Json | None, str]:
    command = [sys.executable, "-m", "pt4al_backend.jobs.child", str(folder)]
    failure: Json | None = None
    with (folder / "log.txt").open("ab") as errors:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        for secret in ("LABEL_STUDIO_API_KEY", "BASIC_AUTH_PASS", "PT4AL_DATABASE_URL", "PT4AL_REDIS_URL"):
            environment.pop(secret, None)  # the child needs none of them
        # in the worker's group: what kills that group ends the training as well
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, env=environment)  # noqa: S603
    assert child.stdout is not None  # noqa: S101 - PIPE was asked for
    try:
        for line in lines_of(child.stdout, TICK_SECONDS):
            if line is None:
                on_tick()
                continue
            event = _event(line)
            if "error" in event:
                failure = event
            elif event:
                on_progress(event)
        status = child.wait()
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        child.stdout.close()
    tail = (folder / "log.txt").read_text(errors="replace").strip().splitlines()
    return status, failure, tail[-1][:300] if tail else ""


def _event(line: bytes) -> Json:
    """A line that is no JSON object comes from a library; it is logged, not obeyed."""
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if isinstance(event, dict):
        return event
    log.info("training process: %s", line.decode(errors="replace").strip()[:300])
    return {}
