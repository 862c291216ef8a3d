"""Images are scored on a pretrained encoder, shard by shard (see ``jobs.shards``): none is kept, and no network is trained."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.errors import ConfigError, ImageUnreadable, StoreCorrupt
from pt4al_backend.images import sources
from pt4al_backend.images.frames import SAMPLE, choose
from pt4al_backend.images.source_frames import Bounds
from pt4al_backend.jobs.run import Runner
from pt4al_backend.jobs.shards import work_folder
from pt4al_backend.jobs.shards.folder import WorkFolder
from pt4al_backend.jobs.shards.plan import Plan, listing_of, shard_size
from pt4al_backend.jobs.shards.pool import Outcomes, Pool, Standardised
from pt4al_backend.jobs.spec import ShardsSpec
from pt4al_backend.learn.frozen.rotation_head import cross_fitted
from pt4al_backend.learn.networks import LEAST_SIDE_FROZEN, TimmEncoder, TimmForm
from pt4al_backend.learn.pretext.rotation import VIEWS, quality
from pt4al_backend.learn.weights.pretrained import obtain
from pt4al_backend.ops.rank_files.reader import gives_none, require_space
from pt4al_backend.ops.rank_files.scoring import ScoredImages, ScoringRequest, require_two
from pt4al_backend.ops.rank_files.unfinished import Work, fingerprint, goes_on
from pt4al_backend.ops.rank_files.workers import Workers
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress, Report, TimeLeft

TRIES = 3  # of all shards, some of which may be damaged


def scored(
    request: ScoringRequest,
    settings: ServerSettings,
    options: ProjectSettings,
    work: Work,
    runner: Runner,
    report: Report,
) -> ScoredImages:
    """Describes the images that were not described yet, on this host and on others; learns a head on a draw, and scores all.

    Memory is that of the listing, of 100 bytes more for each image, and of ``pool.BLOCK`` images' features at a time.

    Raises:
        ConfigError: too few images, too little disk, or another ranking is in the work folder.
        BucketUnavailable: the images' store fails or refuses.
        StoreAway: the work folder's does.
        TrainingImpossible: with the reason that the runner gave.
    """
    place = request.place or str(work.shards)
    shared = work_folder(place, work.folder / "copies")
    plan, source = _planned(request, settings, options, shared, report)
    request.check(source)
    spec = ShardsSpec(
        task=request.task,
        settings=options,
        device=settings.device,
        pretrained=settings.pretrained,
        weights=settings.weights_dir,
        stored=plan.stored,
        shape=plan.shape,
        place=place,
        workers=request.workers,
    )
    folders = _described(shared, plan, Workers(work.folder, spec, runner), report)
    found = Outcomes.of(folders, plan.size)
    skipped = sorted(found.problems.items())
    require_two(len(found.kept), source, skipped)
    pool = Pool(folders, plan.size, found.kept)
    scores = _scores(pool, options.seed, report)
    return ScoredImages(
        source,
        plan.stored,
        found.kept,
        scores[:, 0],
        Standardised(pool, np.random.default_rng([options.seed, 2])),
        quality(scores),
        skipped,
        found.copies,
        found.changed,
        lambda number: found.frames[number].tobytes().hex(),
    )


def _planned(
    request: ScoringRequest, settings: ServerSettings, options: ProjectSettings, shared: WorkFolder, report: Report
) -> tuple[Plan, sources.Source]:
    """The plan, and the images that it is about; of a ranking that is under way those that were found when it began."""
    wanted, waits = fingerprint(request.decisive), False
    while (plan := shared.plan()) is None or not (request.place or shared.done(plan)):
        with shared.claimed("plan") as is_ours:
            if is_ours and (shared.plan() is None or not request.place):
                source = _shuffled(
                    sources.find(request.images, lambda text: report(Progress(Phase.READING_IMAGES, note=text))), options.seed
                )
                plan = _plan(source, request.task, settings, options, wanted, report)
                _require_space(plan, shared)
                shared.begin(plan, source.names, source.versions)
                if shared.plan() == plan:
                    return plan, source
        if not waits:
            note = f"Another command lists the images of {shared.place}, or did so until a moment ago: this one waits."
            report(Progress(Phase.READING_IMAGES, note=note))
        waits = True
        time.sleep(shared.seconds)
    if plan.wanted != wanted:
        raise ConfigError(f"Another ranking is under way in {shared.place}.", "Name an empty folder with --work-dir.")
    names = [name for number in range(plan.shards) for name, _ in shared.images(plan, number)]
    _require_space(plan, shared)
    done = sum(map(plan.count, shared.done(plan)))
    report(Progress(Phase.FEATURES, note=goes_on(plan.begun, done, plan.images, shared.place)))
    return plan, sources.source_of(names, plan.root)


def _shuffled(source: sources.Source, seed: int) -> sources.Source:
    """The images in a random order, so that each shard is a draw of all: what holds of one, such as its time, holds of all."""
    names = source.names
    source.names = [names[place] for place in np.random.default_rng(seed).permutation(len(names)).tolist()]
    return source


def _plan(
    source: sources.Source, task: str, settings: ServerSettings, options: ProjectSettings, wanted: str, report: Report
) -> Plan:
    """The plan for images, some of which decide the shape of all.

    Raises:
        BucketUnavailable: their store fails, or gives none of them.
        TrainingImpossible: there are no weights of the encoder.
    """

    def note(text: str) -> None:
        report(Progress(Phase.PREPARING, note=text))

    bounds = Bounds(settings.image_max_bytes, settings.image_max_pixels)
    shape, stored = choose(task, _sizes(source, bounds), gpu=settings.has_gpu, requested=options.image_size)
    weights = obtain(options.pretrained_encoder, settings.weights_dir, settings.pretrained, note)
    return Plan(
        wanted=wanted,
        listing=listing_of(source.names, source.versions),
        begun=datetime.now().strftime("%Y-%m-%d %H:%M"),
        root=source.root,
        images=len(source.names),
        size=shard_size(len(source.names)),
        task=task,
        stored=stored,
        shape=shape,
        encoder=options.pretrained_encoder,
        sha256=weights.digest,
        max_bytes=bounds.bytes,
        max_pixels=bounds.pixels,
    )


def _sizes(source: sources.Source, bounds: Bounds) -> list[tuple[int, int]]:
    """(width, height) of those images of a sample that can be read."""
    sample = source.names[:: max(1, len(source.names) // SAMPLE)][:SAMPLE]

    def size(name: str) -> tuple[int, int] | ImageUnreadable:
        try:
            return bounds.size_of(source, name)
        except ImageUnreadable as error:
            return error

    with ThreadPoolExecutor(source.threads or SAMPLE) as pool:
        found = list(pool.map(size, sample))
    sizes = [each for each in found if not isinstance(each, ImageUnreadable)]
    failed = [each for each in found if isinstance(each, ImageUnreadable) and each.transient]
    if not sizes:
        source.require_reachable()
    if len(failed) == len(found):
        raise gives_none(sample, str(failed[0]))
    return sizes


def _require_space(plan: Plan, shared: WorkFolder) -> None:
    """Refuses a disk that features do not fit on which are not here; how much room an object store has nobody knows."""
    if lacking := plan.images - sum(map(plan.count, shared.here(plan))):
        width = TimmEncoder(TimmForm(plan.encoder, least_side=LEAST_SIDE_FROZEN)).features
        require_space(lacking, VIEWS * width * np.dtype(np.float16).itemsize, shared.shards)


def _described(shared: WorkFolder, plan: Plan, workers: Workers, report: Report) -> list[Path]:
    """The folders of all shards, which were checked; what is damaged is done again."""
    for is_last in [False] * (TRIES - 1) + [True]:
        if len(shared.done(plan)) < plan.shards:
            workers.run(shared, plan, report)
        folders = []
        for number in range(plan.shards):
            try:
                folders.append(shared.get(plan, number))
            except StoreCorrupt as error:
                if is_last:
                    raise
                shared.require(plan)
                shared.drop(number)
                report(Progress(Phase.FEATURES, note=f"{error.message} Its images are described again."))
        if len(folders) == plan.shards:
            break
    return folders


def _scores(pool: Pool, seed: int, report: Report) -> NDArray[np.float64]:
    """Pretext losses and the share of orientations that are recognised, float64 [k, 2]."""
    left = TimeLeft()

    def turned(places: NDArray[np.int64]) -> Iterator[NDArray[np.float16]]:
        done = 0
        for block in pool.turned(places):
            yield block
            done += len(block)
            if len(places) == len(pool):
                event = Progress(Phase.SCORING, done=done, total=len(pool))
                report(replace(event, eta=left(event)))

    scores, _ = cross_fitted(np.arange(len(pool)), turned, np.random.default_rng(seed))
    return scores
