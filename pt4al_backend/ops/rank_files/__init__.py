"""``pt4al rank``: puts images in PT4AL's order before any of them enters Label Studio.

Without labels there is no model, so the order is that of the queries that PT4AL makes without one, one after the other
until no image is left. As in a project, the images are ranked on a pretrained encoder if its weights are there or can be
downloaded, and its queries cover all images by the encoder's features (``strategies.herding``). Without an encoder the
small network is trained on the pretext task, and each query takes even intervals of the whole ranking by pretext loss
(``strategies.first_query``: the hardest images alone are a worse start than chance), hardest first.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pt4al_backend import artefacts
from pt4al_backend.aliases import Json
from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.engine import ranked_rest
from pt4al_backend.engine.encoder import choose, download
from pt4al_backend.errors import ConfigError, TrainingImpossible
from pt4al_backend.images import sources
from pt4al_backend.jobs.folder import LOG, prepare, sound_job_of
from pt4al_backend.jobs.run import Runner, runner_of
from pt4al_backend.jobs.spec import RankSpec
from pt4al_backend.measures import PretextQuality
from pt4al_backend.ops.rank_files.order import Place, order
from pt4al_backend.ops.rank_files.reader import Reader
from pt4al_backend.ops.rank_files.targets import Targets
from pt4al_backend.ops.rank_files.work import Work, work_on
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress, Report
from pt4al_backend.query.plan import for_task, leaves_encoder_open, on_features

__all__ = ["Ranked", "Targets", "Wanted", "rank"]


@dataclass(frozen=True)
class Wanted:
    """What is to come out.

    Attributes:
        task: the main task that the images are for: it decides how they are framed, and the pretext task by default.
        field: name of the image field in a task's data.
        prefix: what stands before an image's path in a task; None: its own address.
        presign: seconds for which the addresses are to be valid for everybody; None: addresses without a signature.
        take: how many tasks are to be imported first; None: all.
    """

    task: str
    field: str = "image"
    prefix: str | None = None
    presign: int | None = None
    take: int | None = None


@dataclass(frozen=True)
class Ranked:
    """What came out.

    Attributes:
        tasks: how many were written, and ``rest``: how many are left behind them.
        skipped: images that cannot be read, with their reasons.
        copies: images left out because they are identical to another one, with that one.
        quality: whether the ranking means anything; ``reason`` says why not.
        encoder: that the images are ranked on, "" for the small network.
        problem: why there is no encoder, "" if none was looked for in vain.
    """

    tasks: int
    rest: int
    skipped: list[tuple[str, str]]
    copies: list[tuple[str, str]]
    quality: PretextQuality
    encoder: str
    problem: str


def rank(
    arguments: Sequence[str],
    settings: ServerSettings,
    options: ProjectSettings,
    wanted: Wanted,
    to: Targets,
    *,
    report: Report,
    runner: Runner | None = None,
) -> Ranked:
    """Reads the images, ranks them by the pretext task, puts them in order, and writes tasks.

    Killed, it goes on where it was when it is called again for the same images.

    Args:
        arguments: what the images are (see ``images.sources``).
        report: called with the progress of the reading, then of the job.
        runner: where the learner is trained; None: where the settings say.

    Raises:
        ConfigError: too few images, or too little disk.
        BucketUnavailable: the images' store fails or refuses.
        TrainingImpossible: with the reason that the runner gave.
    """
    here = [each if "://" in each else str(Path(each).absolute()) for each in arguments]
    decisive = {"images": here, "task": wanted.task, "size": options.image_size, "gpu": settings.has_gpu}
    with work_on(settings.data_dir, **decisive) as work:
        source = _found(arguments, work, report)
        if wanted.presign:
            source.presigned(source.names[0], wanted.presign)
        options, problem = _with_encoder(options, settings, wanted.task, report)
        shape, stored = Reader(wanted.task, settings, options, source, work).read(report)
        kept = [number for number, each in enumerate(work.outcomes) if each.frame]
        _require_two(source, work, kept)
        spec = RankSpec(
            task=wanted.task,
            settings=options,
            device=settings.device,
            pretrained=settings.pretrained,
            weights=settings.weights_dir,
            frames=work.frames,
            stored=stored,
            shape=shape,
            outputs=("features",) if on_features(options, wanted.task) else (),
        )
        losses, features, quality = _scored(work.job, spec, len(kept), report, runner or runner_of(settings))
        places = order(losses, options, meaningful=quality.meaningful, features=features)
        heading = ranked_rest.Heading(
            root=source.root, prefix=wanted.prefix, presign=wanted.presign, task=wanted.task, stored=stored
        )

        def entries(places: Iterable[Place]) -> Iterator[ranked_rest.Entry]:
            for place in places:
                number = kept[place.index]
                yield ranked_rest.Entry(source.names[number], work.outcomes[number].frame, place.data())

        taken = places[: wanted.take]
        _write_tasks(to.tasks, ({wanted.field: heading.address(source, each.name), **each.data} for each in entries(taken)))
        rest = places[len(taken) :]
        if rest:
            ranked_rest.write(to.rest, heading, entries(rest))
        else:
            to.rest.unlink(missing_ok=True)  # of an earlier ranking
        named = list(enumerate(work.outcomes))
        skipped = [(source.names[number], each.problem) for number, each in named if each.problem]
        copies = [(source.names[number], source.names[each.same]) for number, each in named if each.same is not None]
        work.remove()
    return Ranked(len(taken), len(rest), skipped, copies, quality, options.pretrained_encoder, problem)


def _found(arguments: Sequence[str], work: Work, report: Report) -> sources.Source:
    """The images; of a ranking that was under way those that were found when it began."""
    kept = work.listing()
    if kept is None:
        source = sources.find(arguments)
        work.keep_listing(source.names, source.root)
        return source
    names, root = kept
    source = sources.source_of(names, root)
    going_on = f"The ranking that began on {work.begun} goes on: {len(work.outcomes):,} of {len(names):,} images are read."
    report(
        Progress(
            Phase.READING_IMAGES, note=f"{going_on} Images that came later are not in it. To start over, delete {work.folder}."
        )
    )
    return source


def _require_two(source: sources.Source, work: Work, kept: Sequence[int]) -> None:
    if len(kept) >= 2:
        return
    problems = (f" {source.names[number]}: {each.problem}" for number, each in enumerate(work.outcomes) if each.problem)
    first = next(problems, "")
    work.remove()  # images that are put right are read again
    found = f"Only {len(kept)} of {len(source.names)} images can be read and differ"
    raise ConfigError(f"{found}; a ranking needs two.{first}")


def _with_encoder(options: ProjectSettings, settings: ServerSettings, task: str, report: Report) -> tuple[ProjectSettings, str]:
    """The options with the encoder that a project would be given, and what is to be said if there is none."""
    name, problem = "", ""
    if leaves_encoder_open(options, task):
        name, problem = choose(settings, lambda wanted: download(wanted, report, lambda: None))
    return for_task(options, task, name), problem


def _scored(
    folder: Path, spec: RankSpec, images: int, report: Report, runner: Runner
) -> tuple[NDArray[np.float64], NDArray[np.float16] | None, PretextQuality]:
    """Pretext losses float64 [images], features [images, d] if the job keeps them, and whether the losses mean anything."""
    under_way = sound_job_of(folder)
    if under_way is None or not under_way.is_current(spec):
        prepare(folder, spec, rows=np.arange(images, dtype=np.int64))
    try:
        result = runner.run(folder, report, on_tick=lambda: None)
    except TrainingImpossible as error:
        log = folder / LOG
        if str(log) not in error.remedy:
            raise
        tail = " ".join(log.read_text(errors="replace").split())[-1500:]
        raise TrainingImpossible(error.message, f"Its log ends: {tail}") from error
    losses = np.load(result / "losses.npy", allow_pickle=False)
    features = np.load(result / "features.npy", mmap_mode="r", allow_pickle=False) if spec.outputs else None
    return losses, features, PretextQuality.model_validate(artefacts.manifest(result)["quality"])


def _write_tasks(path: Path, data: Iterable[Json]) -> None:
    """Writes tasks for import in Label Studio, one in a line; a file of that name is replaced once all is written."""

    def lines() -> Iterator[bytes]:
        before = b"[\n"
        for each in data:
            yield before + json.dumps({"data": each}).encode()
            before = b",\n"
        yield b"\n]\n"

    artefacts.atomic_write(path, lines())
