"""Images are scored by a network that is trained on them: their frames are kept on the disk until it is."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.errors import ConfigError
from pt4al_backend.images import sources
from pt4al_backend.jobs.folder import prepare, sound_job_of
from pt4al_backend.jobs.manifest import LearnerManifest
from pt4al_backend.jobs.run import Runner
from pt4al_backend.jobs.spec import RankSpec
from pt4al_backend.measures import PretextQuality
from pt4al_backend.ops.rank_files.reader import Reader
from pt4al_backend.ops.rank_files.scoring import ScoredImages, ScoringRequest, require_two
from pt4al_backend.ops.rank_files.unfinished import Work, goes_on, quoted_log
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress, Report


def scored(
    request: ScoringRequest,
    settings: ServerSettings,
    options: ProjectSettings,
    work: Work,
    runner: Runner,
    report: Report,
) -> ScoredImages:
    """Reads the images that were not read yet, and trains the pretext learner on them.

    Raises:
        ConfigError: too few images, or too little disk.
        BucketUnavailable: the images' store fails or refuses.
        TrainingImpossible: with the reason that the runner gave.
    """
    source = _found(request.images, work, report)
    request.check(source)
    shape, stored = Reader(request.task, settings, options, source, work).read(report)
    kept = np.array([number for number, each in enumerate(work.outcomes) if each.frame], np.int64)
    skipped = [(number, each.problem) for number, each in enumerate(work.outcomes) if each.problem]
    copies = [(number, each.same) for number, each in enumerate(work.outcomes) if each.same is not None]
    try:
        require_two(len(kept), source, skipped)
    except ConfigError:
        work.remove()  # images that are put right are read again
        raise
    spec = RankSpec(
        task=request.task,
        settings=options,
        device=settings.device,
        pretrained=settings.pretrained,
        weights=settings.weights_dir,
        frames=work.frames,
        stored=stored,
        shape=shape,
    )
    losses, quality = _trained(work.job, spec, len(kept), report, runner)
    return ScoredImages(
        source, stored, kept, losses, None, quality, skipped, copies, [], lambda number: work.outcomes[number].frame
    )


def _found(images: Sequence[str], work: Work, report: Report) -> sources.Source:
    """The images; of a ranking that was under way those that were found when it began."""
    kept = work.listing()
    if kept is None:
        source = sources.find(images, lambda text: report(Progress(Phase.READING_IMAGES, note=text)))
        work.keep_listing(source.names, source.root)
        return source
    names, root = kept
    source = sources.source_of(names, root)
    report(Progress(Phase.READING_IMAGES, note=goes_on(work.begun, len(work.outcomes), len(names), str(work.folder))))
    return source


def _trained(
    folder: Path, spec: RankSpec, images: int, report: Report, runner: Runner
) -> tuple[NDArray[np.float64], PretextQuality]:
    """Pretext losses float64 [images], and whether they mean anything."""
    under_way = sound_job_of(folder)
    if under_way is None or not under_way.is_current(spec):
        prepare(folder, spec, rows=np.arange(images, dtype=np.int64))
    with quoted_log(folder):
        result = runner.run(folder, report, on_tick=lambda: None)
    losses = np.load(result / "losses.npy", allow_pickle=False)
    return losses, LearnerManifest.read(result).quality
