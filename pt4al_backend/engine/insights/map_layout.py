"""The map's layout: made where images have features, by a job that nobody waits for, and again when the features have changed."""

from contextlib import suppress
from pathlib import Path

from pt4al_backend import artefacts
from pt4al_backend.engine.job_series import FAILED, JobSeries
from pt4al_backend.engine.project_jobs import number_of
from pt4al_backend.engine.snapshot import Snapshot
from pt4al_backend.errors import TrainingImpossible
from pt4al_backend.jobs.folder import is_under_way, job_of, prepare
from pt4al_backend.jobs.image_vectors import ImageVectors
from pt4al_backend.jobs.layout import LayoutManifest, newest
from pt4al_backend.jobs.run import LocalRunner, Runner
from pt4al_backend.jobs.spec import JobKind, JobSpec, LayoutSpec
from pt4al_backend.progress import Progress

#: Beside a layout's job, for the page: how much of it is done.
SHARE = "share.txt"
#: How much has to be done before that is written down again.
STEP = 0.01


def refresh(snapshot: Snapshot, runner: Runner | None = None) -> None:
    """Lays a project's images out if there are features that the last layout has not seen.

    Raises:
        Superseded: the project is forgotten.
        PT4ALError, OSError: it cannot be done; ``problem`` says why.
    """
    jobs, series = snapshot.jobs, JobSeries(snapshot.jobs.folder, JobKind.LAYOUT)
    wanted = jobs.layout()
    features = _content(wanted)
    previous = newest(jobs.folder)
    if not features or (previous and _laid_out(previous) == features):
        if previous:
            series.keep_only(previous)
        return
    folder = _following(jobs.folder, previous)
    if is_under_way(folder):
        return
    if _is_other(folder, features):
        tasks = jobs.fetched()
        changes = {"previous": previous, "features": features}
        prepare(folder, wanted.model_copy(update=changes), rows=tasks.rows, ids=tasks.ids)
    where = runner or LocalRunner(stall_seconds=jobs.settings.job_stall_seconds)
    try:
        result = where.run(folder, _Noted(folder), snapshot.require)
    except TrainingImpossible as error:
        series.failed(folder, error)
        raise
    series.keep_only(result)


def is_possible(snapshot: Snapshot) -> bool:
    """Whether a project's images have features that could be laid out, or will have once they are ranked."""
    return snapshot.jobs.learner is None or ImageVectors.of(snapshot.jobs.layout(), check=False) is not None


def problem(project: Path) -> str:
    """Why the layout that is due below a project's folder could not be made; "" if it could, or none is due."""
    try:
        return (_following(project, newest(project)) / FAILED).read_text()
    except FileNotFoundError:
        return ""


def share_drawn(project: Path) -> float | None:
    """How much of the layout that is being made below a project's folder is done, 0..1; None if none is."""
    folder = _following(project, newest(project))
    try:
        return None if (folder / FAILED).exists() else float((folder / SHARE).read_text())
    except FileNotFoundError:
        return None


class _Noted:
    """A report that writes beside a job how much of it is done."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._noted = folder, -STEP

    def __call__(self, progress: Progress) -> None:
        share = progress.share
        if share is not None and abs(share - self._noted) >= STEP:
            self._noted = share
            with suppress(FileNotFoundError):  # the project was forgotten a moment ago, which the next tick says
                artefacts.atomic_write(self._folder / SHARE, f"{share:.2f}".encode())


def _following(project: Path, previous: Path | None) -> Path:
    """The folder of the layout after the ``previous`` one."""
    return project / f"{JobKind.LAYOUT}-{number_of(previous.parent) + 1 if previous else 1}"


def _is_other(folder: Path, features: str) -> bool:
    """Whether the job in a folder is about other features, or none is there."""
    job = job_of(folder)
    return not isinstance(job, LayoutSpec) or job.features != features


def _laid_out(result: Path) -> str:
    """Of which features a layout is, as its job has it; "" if it cannot be read."""
    manifest = LayoutManifest.known(result)
    return "" if manifest is None else manifest.features


def _content(job: JobSpec) -> str:
    """Tells what the feature file holds from what it held or will hold; "" if there is none."""
    vectors = ImageVectors.of(job, check=False)
    if vectors is None:
        return ""
    try:
        found = vectors.path.stat()
    except FileNotFoundError:
        return ""
    return f"{vectors.path.name} {found.st_size} {found.st_mtime_ns}"
