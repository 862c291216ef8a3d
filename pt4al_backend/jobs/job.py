"""A job as the process that does it has it: what to do, and where.

What does the work (``rank``, ``learn``, ``head``) reads a job and writes an artefact. It knows neither Label Studio nor the
state.
"""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from pt4al_backend import __version__
from pt4al_backend.aliases import Json
from pt4al_backend.config import ProjectSettings
from pt4al_backend.errors import ConfigError
from pt4al_backend.images.mask_files import MaskFiles
from pt4al_backend.jobs.folder import RESULT, SPEC
from pt4al_backend.jobs.spec import JobSpec, parse
from pt4al_backend.learn.labels.base import LabelSpace, Targets
from pt4al_backend.query.plan import on_features

Spec = TypeVar("Spec", bound=JobSpec, covariant=True)


@dataclass(frozen=True)
class Job(Generic[Spec]):
    """A job's folder, what it says, and a fingerprint of all that its result depends on."""

    folder: Path
    spec: Spec
    fingerprint: str

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads ``job.json`` and fingerprints it with the arrays beside it.

        Raises:
            ConfigError: the job cannot be read.
        """
        digest = hashlib.sha256(__version__.encode())
        try:
            for file in sorted([folder / SPEC, *folder.glob("*.npy"), *folder.glob("*.npz")]):
                digest.update(file.read_bytes())
            spec = parse((folder / SPEC).read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(f"The job in {folder.name} cannot be read ({type(error).__name__}: {error}).") from error
        return cls(folder, spec, digest.hexdigest())  # type: ignore[arg-type]

    @property
    def settings(self) -> ProjectSettings:
        """The project's settings."""
        return self.spec.settings

    @property
    def result(self) -> Path:
        """Where the artefact goes."""
        return self.folder / RESULT

    @property
    def on_features(self) -> bool:
        """Whether heads are trained on a frozen encoder's features."""
        return on_features(self.settings, self.spec.task)

    @property
    def freezes(self) -> bool:
        """Whether a network is trained on an encoder that stays as it is."""
        return self.settings.tuning == "head" and not self.on_features

    def rows(self, name: str) -> NDArray[np.int64]:
        """An array of rows of the frame file, int64 [n], beside the job."""
        return np.asarray(np.load(self.folder / name, allow_pickle=False), dtype=np.int64)

    def labelled_rows(self, name: str) -> NDArray[np.int64]:
        """Rows int64 [n] of those images beside the job that have a label."""
        with np.load(self.folder / f"{name}.npz", allow_pickle=False) as arrays:
            return np.asarray(arrays["rows"], np.int64)

    def labelled(self, name: str, space: LabelSpace, scratch: Path) -> tuple[NDArray[np.int64], Targets]:
        """Rows int64 [n] beside the job, and the targets that their labels are."""
        with np.load(self.folder / f"{name}.npz", allow_pickle=False) as arrays:
            rows, labels = arrays["rows"].astype(np.int64), arrays["labels"].tolist()
        return rows, space.targets(labels, MaskFiles(self.spec.masks) if self.spec.masks else None, scratch / f"{name}.u8")

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

    def facts(self) -> Json:
        """What the manifest of each result says of the job."""
        return {
            "fingerprint": self.fingerprint,
            "task": self.spec.task,
            "settings": self.settings.model_dump(mode="json"),
            "shape": self.spec.shape,
            "stored": self.spec.stored,
        }
