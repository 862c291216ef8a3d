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

from pt4al_backend import artefacts
from pt4al_backend.aliases import Json
from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.engine import ranked_rest
from pt4al_backend.engine.encoder import choose, download
from pt4al_backend.errors import ConfigError
from pt4al_backend.jobs.run import Runner, runner_of
from pt4al_backend.measures import PretextQuality
from pt4al_backend.ops.rank_files import sharded, trained
from pt4al_backend.ops.rank_files.order import Order, order
from pt4al_backend.ops.rank_files.scoring import ScoredImages, ScoringRequest
from pt4al_backend.ops.rank_files.targets import Targets
from pt4al_backend.ops.rank_files.unfinished import work_on
from pt4al_backend.progress import Report
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
        workers: how many processes of this host describe the images by a pretrained encoder.
        work_dir: path or fsspec URL of the folder in which hosts share that, which is not deleted; "": a folder of this one's.
    """

    task: str
    field: str = "image"
    prefix: str | None = None
    presign: int | None = None
    take: int | None = None
    workers: int = 1
    work_dir: str = ""


@dataclass(frozen=True)
class Ranked:
    """What came out.

    Attributes:
        tasks: how many were written, and ``rest``: how many are left behind them.
        replaced_rest: whether the ranked rest of an earlier ranking was deleted, as nothing is left behind the tasks.
        skipped: images that cannot be read, with their reasons.
        copies: images left out because they are identical to another one, with that one.
        changed: images that have changed since they were listed; they are ranked as they are now.
        quality: whether the ranking means anything; ``reason`` says why not.
        encoder: that the images are ranked on, "" for the small network.
        problem: why there is no encoder, "" if none was looked for in vain.
    """

    tasks: int
    rest: int
    replaced_rest: bool
    skipped: list[tuple[str, str]]
    copies: list[tuple[str, str]]
    changed: list[str]
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
    here = [_absolute(each) for each in arguments]
    decisive = {"images": here, "task": wanted.task, "size": options.image_size, "gpu": settings.has_gpu}
    options, problem = _with_encoder(options, settings, wanted.task, report)
    is_sharded = on_features(options, wanted.task)
    if is_sharded:  # what the plan says of shapes holds on hosts with a GPU and without
        decisive = {"images": here, "task": wanted.task, "size": options.image_size, "encoder": options.pretrained_encoder}
    elif wanted.work_dir:
        raise ConfigError(
            "Hosts share the work of a pretrained encoder alone, and no such is used here.",
            problem or "Leave --work-dir out, or --epochs and what else asks for a network that is trained.",
        )
    with work_on(settings.data_dir, **decisive) as work:
        request = ScoringRequest(here, decisive, wanted.task, wanted.presign, wanted.workers, _absolute(wanted.work_dir))
        score = sharded.scored if is_sharded else trained.scored
        found = score(request, settings, options, work, runner or runner_of(settings), report)
        source = found.source
        places = order(found.losses, options, meaningful=found.quality.meaningful, features=found.features)
        taken, rest, is_replaced = _write(found, places, wanted, to)
        skipped = [(source.names[number], reason) for number, reason in found.skipped]
        copies = [(source.names[number], source.names[same]) for number, same in found.copies]
        changed = [source.names[number] for number in found.changed]
        work.remove()
    return Ranked(taken, rest, is_replaced, skipped, copies, changed, found.quality, options.pretrained_encoder, problem)


def _absolute(place: str) -> str:
    """A path as processes of other folders need it; URLs and "" as they are."""
    return place if "://" in place or not place else str(Path(place).absolute())


def _with_encoder(options: ProjectSettings, settings: ServerSettings, task: str, report: Report) -> tuple[ProjectSettings, str]:
    """The options with the encoder that a project would be given, and what is to be said if there is none."""
    name, problem = "", ""
    if leaves_encoder_open(options, task):
        name, problem = choose(settings, lambda wanted: download(wanted, report, lambda: None))
    return for_task(options, task, name), problem


def _write(found: ScoredImages, places: Order, wanted: Wanted, to: Targets) -> tuple[int, int, bool]:
    """Writes the tasks and the ranked rest: how many each are, and whether the rest of an earlier ranking was deleted."""
    source = found.source
    heading = ranked_rest.Heading(
        root=source.root, prefix=wanted.prefix, presign=wanted.presign, task=wanted.task, stored=found.stored
    )

    def entries(places: Order) -> Iterator[ranked_rest.Entry]:
        for place in places:
            number = int(found.kept[place.index])
            yield ranked_rest.Entry(source.names[number], found.frame_of(number), place.data())

    taken = places[: wanted.take]
    _write_tasks(to.tasks, ({wanted.field: heading.address(source, each.name), **each.data} for each in entries(taken)))
    rest, is_replaced = places[len(taken) :], False
    if rest:
        ranked_rest.write(to.rest, heading, entries(rest))
    elif is_replaced := to.rest.exists():
        to.rest.unlink()  # it does not belong to these tasks
    return len(taken), len(rest), is_replaced


def _write_tasks(path: Path, data: Iterable[Json]) -> None:
    """Writes tasks for import in Label Studio, one in a line; a file of that name is replaced once all is written."""

    def lines() -> Iterator[bytes]:
        before = b"[\n"
        for each in data:
            yield before + json.dumps({"data": each}).encode()
            before = b",\n"
        yield b"\n]\n"

    artefacts.atomic_write(path, lines())
