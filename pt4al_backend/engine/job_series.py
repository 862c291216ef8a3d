"""Jobs of one kind below a project's folder, one after the other: ``KIND-1``, ``KIND-2`` and so on."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pt4al_backend import artefacts
from pt4al_backend.engine.project_jobs import number_of
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.jobs.folder import RESULT, job_of, sound_job_of
from pt4al_backend.jobs.spec import JobKind, JobSpec

#: Beside a job that could not be done: why.
FAILED = "failed.txt"


@dataclass(frozen=True)
class JobSeries:
    """The jobs of a kind below a ``project``'s folder; ``is_sound`` says whether a finished one's result can be used."""

    project: Path
    kind: JobKind
    is_sound: Callable[[Path], bool] = artefacts.has_sound

    @property
    def is_empty(self) -> bool:
        """Whether this host has finished none."""
        return self._last() is None

    def last(self) -> Path | None:
        """The result of the last finished job whose result is sound."""
        sound = [folder for folder in self._finished() if self.is_sound(folder / RESULT)]
        return max(sound, key=number_of) / RESULT if sound else None

    def newest(self, wanted: JobSpec) -> Path | None:
        """The result of the newest finished job, if it is sound and still what a job prepared now would be ``wanted`` for."""
        folder = self._last()
        if folder is None or not self.is_sound(folder / RESULT):
            return None
        job = job_of(folder)
        return folder / RESULT if job is not None and job.is_current(wanted, anywhere=True) else None

    def following(self) -> Path:
        """The folder of the next job: behind the newest finished one, or that one's own if its result is damaged."""
        last = self._last()
        if last is not None and not self.is_sound(last / RESULT):
            return last
        return self.project / f"{self.kind}-{number_of(last) + 1 if last else 1}"

    def unfinished(self, wanted: JobSpec) -> Path | None:
        """The folder of a job that was cut short and is to be resumed."""
        folder = self.following()
        if artefacts.is_complete(folder / RESULT):  # and yet not sound: an earlier version wrote it, which kept less
            return None
        job = sound_job_of(folder)
        return folder if job is not None and job.is_current(wanted) and not (folder / FAILED).exists() else None

    def tried(self, wanted: JobSpec) -> JobSpec | None:
        """The last job that was finished, or that could not be done, if it is what one prepared now would be ``wanted`` for."""
        folder = self.following()
        if not (folder / FAILED).exists():
            newest = self.newest(wanted)
            return job_of(newest.parent) if newest else None
        job = job_of(folder)
        return job if job is not None and job.is_current(wanted, anywhere=True) else None

    def why_failed(self, wanted: JobSpec) -> str:
        """Why the last job that was ``wanted`` as one prepared now would be could not be done; "" if it could."""
        tried, reason = self.tried(wanted), self.following() / FAILED
        return reason.read_text() if tried is not None and reason.exists() else ""

    def failed(self, folder: Path, error: TrainingImpossible) -> None:
        """Notes that a job could not be done: with other labels another one is prepared."""
        artefacts.atomic_write(folder / FAILED, str(error).encode())

    def keep_only(self, result: Path) -> None:
        """Deletes the jobs before that of a result."""
        for folder in self._finished():
            if number_of(folder) < number_of(result.parent):
                shutil.rmtree(folder)

    def _last(self) -> Path | None:
        return max(self._finished(), key=number_of, default=None)

    def _finished(self) -> list[Path]:
        return [folder for folder in self.project.glob(f"{self.kind}-*") if (folder / RESULT / artefacts.MANIFEST).is_file()]
