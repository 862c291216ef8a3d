"""``pt4al rank``: puts image files in PT4AL's order before any of them enters Label Studio.

Without labels there is no model, so the order is that of the queries that PT4AL makes without one, one after the other
until no image is left. As in a project, the images are ranked on a pretrained encoder if its weights are there or can be
downloaded, and its queries cover all images by the encoder's features (``strategies.herding``). Without an encoder the
small network is trained on the pretext task, and each query takes even intervals of the whole ranking by pretext loss
(``strategies.first_query``: the hardest images alone are a worse start than chance), hardest first.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pt4al_backend import artefacts
from pt4al_backend.aliases import Json
from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.engine.encoder import choose, download
from pt4al_backend.errors import ConfigError, TrainingImpossible
from pt4al_backend.jobs.folder import LOG, prepare
from pt4al_backend.jobs.run import Runner, runner_of
from pt4al_backend.jobs.spec import RankSpec
from pt4al_backend.measures import PretextQuality
from pt4al_backend.ops.rank_files.files import Files
from pt4al_backend.ops.rank_files.order import order
from pt4al_backend.ops.rank_files.reader import Copies, Reader, Skipped
from pt4al_backend.progress import Report
from pt4al_backend.query.plan import for_task, leaves_encoder_open, on_features


@dataclass(frozen=True)
class Ranked:
    """What came out.

    Attributes:
        tasks: to import, best first.
        skipped: files that cannot be read, with their reasons.
        copies: files left out because their image is identical to another file's, with that file.
        quality: whether the ranking means anything; ``reason`` says why not.
        encoder: that the images are ranked on, "" for the small network.
        problem: why there is no encoder, "" if none was looked for in vain.
    """

    tasks: list[Json]
    skipped: Skipped
    copies: Copies
    quality: PretextQuality
    encoder: str
    problem: str


def rank(
    files: Files,
    settings: ServerSettings,
    options: ProjectSettings,
    *,
    task: str,
    field: str,
    prefix: str | None,
    report: Report,
    runner: Runner | None = None,
) -> Ranked:
    """Decodes the images, ranks them by the pretext task, and puts them in order.

    Args:
        task: the main task that the images are for: it decides how they are framed, and the pretext task by default.
        field: name of the image field in a task's data.
        prefix: what stands before a file's path in a task; None: `files.LOCAL_FILES`.
        report: called with the progress of the reading, then of the job.
        runner: where the learner is trained; None: where the settings say.

    Raises:
        ConfigError: too few images, or too little disk.
        TrainingImpossible: with the reason that the runner gave.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    options, problem = _with_encoder(options, settings, task, report)
    with tempfile.TemporaryDirectory(prefix="rank-", dir=settings.data_dir) as name:
        work = Path(name)
        reader = Reader(task, settings, options, files.paths)
        kept, skipped, copies = reader.read(work / "pixels.u8", report)
        if len(kept) < 2:
            first = f" {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
            found = f"Only {len(kept)} of {len(files.paths)} images can be read and differ"
            raise ConfigError(f"{found}; a ranking needs two.{first}")
        spec = RankSpec(
            task=task,
            settings=options,
            device=settings.device,
            pretrained=settings.pretrained,
            weights=settings.weights_dir,
            frames=work / "pixels.u8",
            stored=reader.stored,
            shape=reader.shape,
            outputs=("features",) if on_features(options, task) else (),
        )
        losses, features, quality = _scored(work / "job", spec, len(kept), report, runner or runner_of(settings))
    tasks = [
        {"data": {field: files.address(kept[place.index], prefix), **place.data(losses)}}
        for place in order(losses, options, meaningful=quality.meaningful, features=features)
    ]
    return Ranked(tasks, skipped, copies, quality, options.pretrained_encoder, problem)


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
    prepare(folder, spec, rows=np.arange(images, dtype=np.int64))
    try:
        result = runner.run(folder, report, on_tick=lambda: None)
    except TrainingImpossible as error:
        log = folder / LOG  # goes with the folder, so its end goes into the message
        if str(log) not in error.remedy:
            raise
        tail = " ".join(log.read_text(errors="replace").split())[-1500:]
        raise TrainingImpossible(error.message, f"Its log ends: {tail}") from error
    losses = np.load(result / "losses.npy", allow_pickle=False)
    features = np.load(result / "features.npy", allow_pickle=False) if spec.outputs else None
    return losses, features, PretextQuality.model_validate(artefacts.manifest(result)["quality"])


def write(path: Path, tasks: Sequence[Json]) -> None:
    """Writes tasks for import in Label Studio, one in a line; a file of that name is replaced once all is written."""
    lines = ",\n".join(json.dumps(task) for task in tasks)
    artefacts.atomic_write(path, f"[\n{lines}\n]\n".encode())


def require_writable(path: Path) -> None:
    """Checks that `write` will be able to, before a training takes its time.

    Raises:
        ConfigError: it will not, and why.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder.", "Name a file with --out, such as tasks.json.")
    if not path.parent.is_dir():
        raise ConfigError(f"There is no folder {path.parent} to write {path.name} into.", "Make it, or change --out.")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            return
    except OSError as error:
        raise ConfigError(f"No file can be written in {path.parent} ({error.strerror}).", "Change --out.") from error
