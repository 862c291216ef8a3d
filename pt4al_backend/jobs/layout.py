"""The layout of a pool for the map: where each image lies in two dimensions (see ``analysis.layout``). No torch is needed."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.aliases import Ids
from pt4al_backend.analysis.layout import Layout, NotFinite
from pt4al_backend.errors import StoreCorrupt, TrainingImpossible
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.jobs.folder import RESULT
from pt4al_backend.jobs.image_vectors import ImageVectors, MadeBy, VectorSource
from pt4al_backend.jobs.job import Job
from pt4al_backend.jobs.manifest import Manifest
from pt4al_backend.jobs.spec import JobKind, LayoutSpec
from pt4al_backend.learn.frozen.feature_file import blocks
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress, Report
from pt4al_backend.threads import one_thread

#: How much a pool may have grown since its layout was made before it is made again, not only joined by what came later.
GROWTH = 1.2
STEPS = 1_000  # that progress is reported in


class LayoutManifest(Manifest):
    """Of a layout.

    Attributes:
        source, by: what made the features that images lie by; an earlier version knew encoders alone.
        features: as the job has it.
        images: that have a place.
        laid_out: images that were laid out together, before later ones joined them.
        without_features: images of the pool that are in no place, as they had no features.
        made_at: seconds since 1970 in UTC.
    """

    kind: str = "layout"
    source: VectorSource
    by: MadeBy = MadeBy.ENCODER
    features: str = ""
    images: int = 0
    laid_out: int
    without_features: int
    made_at: float
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class LaidOut:
    """A finished layout: ``tasks`` int64 [n] with the ``rows`` int64 [n] of their frames, and where they lie."""

    tasks: Ids
    rows: NDArray[np.int64]
    layout: Layout
    manifest: LayoutManifest

    @classmethod
    def load(cls, result: Path) -> Self:
        """Reads what ``lay_out`` wrote.

        Raises:
            StoreCorrupt: it is missing or damaged.
        """
        manifest = LayoutManifest.read(result)
        try:
            tasks, rows = (np.load(result / f"{name}.npy", allow_pickle=False) for name in ("tasks", "rows"))
            return cls(tasks, rows, Layout.load(result), manifest)
        except (OSError, ValueError, KeyError) as error:
            raise StoreCorrupt(f"The layout in {result} cannot be read ({error}).", f"Delete {result}.") from error


def newest(project: Path) -> Path | None:
    """The artefact of the newest layout below a project's folder."""
    results = [folder / RESULT for folder in project.glob(f"{JobKind.LAYOUT}-*") if (folder / RESULT).is_dir()]
    return max(results, key=lambda result: int(result.parent.name.rpartition("-")[2]), default=None)


def lay_out(job: Job[LayoutSpec], report: Report) -> None:
    """Lays out the images that have features, or lets those join the layout before that came since.

    Reads ``rows.npy`` and ``ids.npy`` of the whole pool. Writes ``result/``, which ``LaidOut.load`` reads.

    Raises:
        TrainingImpossible: no image has features, or some features are no finite numbers.
        StoreCorrupt: the frame file is damaged.
    """
    start = time.monotonic()
    vectors = ImageVectors.of(job.spec)
    if vectors is None:
        raise TrainingImpossible("The images are not described.", "The next ranking of the pool describes them.")
    with FrameFile(job.spec.frames, job.spec.stored) as frames, vectors.file() as file, one_thread():
        asked = job.rows("rows.npy")
        lacking = np.concatenate([asked[:0], *(file.missing(block, frames) for block in blocks(asked))])
        rows = asked[~np.isin(asked, lacking)]
        if not len(rows):
            raise TrainingImpossible("No image has features yet.", "The ranking of the pool computes them.")

        def read(wanted: NDArray[np.int64]) -> NDArray[np.floating]:
            return file.read(wanted)[:, 0]

        before = _before(job.spec.previous, vectors.source, len(rows))
        try:
            if before is None:
                placed, layout = rows, Layout.of(lambda which: read(rows[which]), len(rows), job.settings.seed, _told(report))
            else:
                kept = np.isin(before.rows, rows)
                later = rows[~np.isin(rows, before.rows)]
                placed = np.concatenate([before.rows[kept], later])
                layout = before.layout.where(kept)
                if len(later):
                    layout = layout.with_later(lambda which: read(later[which]), len(later), job.settings.seed)
        except NotFinite as error:
            raise TrainingImpossible(f"There is no map: {error}.", "Set encoder in the extra params to another.") from error
    order = np.argsort(asked)
    tasks = job.rows("ids.npy")[order[np.searchsorted(asked, placed, sorter=order)]]
    manifest = LayoutManifest(
        fingerprint=job.fingerprint,
        source=vectors.source,
        by=vectors.by,
        features=job.spec.features,
        images=len(placed),
        laid_out=len(placed) if before is None else before.manifest.laid_out,
        without_features=len(lacking),
        made_at=time.time(),
        seconds=time.monotonic() - start,
    )
    with manifest.writing(job.result) as folder:
        np.save(folder / "tasks.npy", tasks)
        np.save(folder / "rows.npy", placed)
        layout.save(folder)


def _before(previous: Path | None, source: VectorSource, images: int) -> LaidOut | None:
    """The layout before, if ``images`` images with features of the same source may join or stay in it."""
    if previous is None:
        return None
    try:
        found = LaidOut.load(previous)
    except StoreCorrupt:
        return None
    return found if found.manifest.source == source and images <= GROWTH * found.manifest.laid_out else None


def _told(report: Report) -> Callable[[float], None]:
    def tell(share: float) -> None:
        report(Progress(Phase.LAYOUT, done=round(share * STEPS), total=STEPS))

    return tell
