"""A job as the process that does it has it: what to do, where, and on which device.

What does the work (``rank``, ``learn``) reads a job and writes an artefact. It knows neither Label Studio nor the state.
"""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from pt4al_backend import __version__
from pt4al_backend.config import ProjectSettings
from pt4al_backend.config.catalog import MAIN_TASKS
from pt4al_backend.errors import ConfigError
from pt4al_backend.images.mask_files import MaskFiles
from pt4al_backend.jobs.folder import CHECKPOINT, RESULT, SPEC
from pt4al_backend.jobs.spec import JobSpec, parse
from pt4al_backend.learn import devices, networks
from pt4al_backend.learn.checkpoint import Checkpoint
from pt4al_backend.learn.minibatches import Targets
from pt4al_backend.learn.networks import MEAN, STD, Body, Form, TimmEncoder
from pt4al_backend.learn.tasks.base import MainTask
from pt4al_backend.learn.weights.initial import InitialWeights
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress, Report

Spec = TypeVar("Spec", bound=JobSpec, covariant=True)


@dataclass(frozen=True)
class Job(Generic[Spec]):
    """A job's folder, what it says, the device it names, and a fingerprint of all that its result depends on."""

    folder: Path
    spec: Spec
    device: torch.device
    fingerprint: str

    @classmethod
    def read(cls, folder: Path) -> "Job[Any]":
        """Reads ``job.json`` and fingerprints it with the arrays beside it.

        Raises:
            ConfigError: the job cannot be read.
            TrainingImpossible: its device is not there.
        """
        digest = hashlib.sha256(__version__.encode())
        try:
            for file in sorted([folder / SPEC, *folder.glob("*.npy"), *folder.glob("*.npz")]):
                digest.update(file.read_bytes())
            spec = parse((folder / SPEC).read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(f"The job in {folder.name} cannot be read ({type(error).__name__}: {error}).") from error
        return cls(folder, spec, devices.choose(spec.device), digest.hexdigest())  # type: ignore[arg-type]

    @property
    def settings(self) -> ProjectSettings:
        """The project's settings."""
        return self.spec.settings

    @property
    def result(self) -> Path:
        """Where the artefact goes."""
        return self.folder / RESULT

    @property
    def checkpoint(self) -> Checkpoint:
        """Where a training of this very job is resumed."""
        return Checkpoint(self.folder / CHECKPOINT, self.fingerprint)

    def form(self) -> Form:
        """The form of this job's bodies."""
        return MAIN_TASKS.load(self.spec.task, MainTask).form(self.spec.shape, self.settings, self.device)

    def body(self) -> Body:
        """A body of that form, with fresh weights.

        Raises:
            ConfigError: there is no such encoder, or it cannot see images of this job's shape.
        """
        body = networks.build(self.form())
        if isinstance(body, TimmEncoder):
            body.require_shape(self.spec.shape)
        return body

    def rows(self, name: str) -> NDArray[np.int64]:
        """An array of rows of the frame file, int64 [n], beside the job."""
        return np.asarray(np.load(self.folder / name, allow_pickle=False), dtype=np.int64)

    def labelled(self, name: str, task: MainTask, scratch: Path) -> tuple[NDArray[np.int64], Targets]:
        """Rows int64 [n] beside the job, and the targets that their labels are to the task."""
        with np.load(self.folder / f"{name}.npz", allow_pickle=False) as arrays:
            rows, labels = arrays["rows"].astype(np.int64), arrays["labels"].tolist()
        return rows, task.targets(labels, MaskFiles(self.spec.masks) if self.spec.masks else None, scratch / f"{name}.u8")

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

    def initial_weights(self, report: Report, previous: Path | None = None) -> InitialWeights:
        """Where this job's initial weights may come from; ``previous`` is the artefact of the round before's model."""

        def note(text: str) -> None:
            report(Progress(Phase.PREPARING, note=text))

        init, warm_start = self.settings.init, self.settings.warm_start
        return InitialWeights(init, warm_start, self.spec.learner, previous, self.spec.pretrained, self.spec.weights, note)

    def manifest(self, form: Form) -> dict[str, Any]:
        """What a manifest says of a network and its frames, enough to load it elsewhere."""
        return {
            "fingerprint": self.fingerprint,
            "task": self.spec.task,
            "settings": self.settings.model_dump(mode="json"),
            "shape": self.spec.shape,
            "stored": self.spec.stored,
            "normalisation": {"mean": MEAN, "std": STD, "within": "network"},
            "network": asdict(form),
            "device": self.device.type,
        }
