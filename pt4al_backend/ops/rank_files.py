"""``pt4al rank``: puts image files in PT4AL's order before any of them enters Label Studio.

Without labels there is no model, so the order is that of the queries that PT4AL makes without one, one after the other
until no image is left. By default each query takes even intervals of the whole ranking by pretext loss (``strategies.
first_query``: the hardest images alone are a worse start than chance), hardest first. So the first N tasks of the file
are a sample stratified by hardness, for any N up to the part of one query (2 % of the images).
"""

import glob
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pt4al_backend import artefacts
from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.errors import ConfigError, ImageUnreadable, TrainingImpossible
from pt4al_backend.images.decode import FORMATS, decode
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.frames import KEEP, Shape, choose
from pt4al_backend.jobs import runner
from pt4al_backend.query import plan as rounds
from pt4al_backend.query.ranking import rank as by_loss
from pt4al_backend.query.strategies import Pool, Request

#: Where Label Studio serves files of its own machine, if it is told to; ``d`` is relative to its document root, "/" by default.
LOCAL_FILES = "/data/local-files/?d="
CHUNK = 256  # images decoded ahead
SAMPLE = 32  # images that decide the training size
SPARE_BYTES = 500_000_000  # left free on the disk, for checkpoints and everybody else

Json = dict[str, Any]
Report = Callable[[Json], None]
Skipped = list[tuple[Path, str]]


@dataclass(frozen=True)
class Ranked:
    """What came out: tasks to import, best first; files skipped with their reasons; whether the ranking means anything."""

    tasks: list[Json]
    skipped: Skipped
    meaningful: bool
    reason: str


@dataclass(frozen=True)
class Files:
    """Image files, and the folder that their addresses in Label Studio are relative to."""

    paths: list[Path]
    root: Path

    @classmethod
    def find(cls, arguments: Iterable[str]) -> "Files":
        """Looks for images: files as they are named, folders with all below them, patterns such as ``lake/**/*.png``.

        Raises:
            ConfigError: an argument names nothing, or there is no image.
        """
        suffixes = {suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS}
        found: dict[Path, None] = {}
        tops = []
        for argument in arguments:
            names = [argument] if Path(argument).exists() else sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 - absolute patterns
            if not names:
                raise ConfigError(f"There is no file or folder {argument!r}.", "Name image files, folders or patterns.")
            for path in (Path(name).absolute() for name in names):
                tops.append(path if path.is_dir() else path.parent)
                inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes) if path.is_dir() else [path]
                found.update(dict.fromkeys(p for p in inside if p.is_file()))
        if not found:
            raise ConfigError(
                "No image files were found.", f"Files of folders are taken by their ending: {', '.join(sorted(suffixes))}."
            )
        return cls(list(found), Path(os.path.commonpath(tops)))

    def address(self, path: Path, prefix: str | None) -> str:
        """What the image field of a task says: ``prefix`` and the path below ``root``, or a path that Label Studio serves."""
        if prefix is None:
            return LOCAL_FILES + quote(os.fsencode(path).lstrip(b"/"))
        below = path.relative_to(self.root)
        joint = "" if not prefix or prefix.endswith(("/", "=")) else "/"
        is_cloud = prefix.startswith(("s3://", "gs://", "azure-blob://"))  # object names, which are not percent-encoded
        return prefix + joint + (str(below) if is_cloud else quote(os.fsencode(below)))


def rank(
    files: Files,
    settings: ServerSettings,
    options: ProjectSettings,
    *,
    task: str,
    field: str,
    prefix: str | None,
    report: Report,
) -> Ranked:
    """Decodes the images, trains the pretext learner on them in a child process, and puts them in order.

    Args:
        task: the main task that the images are for: it decides how they are framed, and the pretext task by default.
        field: name of the image field in a task's data.
        prefix: what stands before a file's path in a task; None: `LOCAL_FILES`.
        report: told of progress: phase, done, total, and from the child epoch, epochs, eta, note.

    Raises:
        ConfigError: too few images, or too little disk.
        TrainingImpossible: the child said why.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix="rank-", dir=settings.data_dir) as name:
        work = Path(name)
        reader = _Reader(task, settings, options, files.paths)
        kept, skipped = reader.read(work / "pixels.u8", report)
        if len(kept) < 2:
            first = f" {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
            raise ConfigError(f"Only {len(kept)} of {len(files.paths)} images can be read; a ranking needs two.{first}")
        losses, quality = _losses(work, settings, options, reader, len(kept), report)
    meaningful = bool(quality["meaningful"])
    tasks = [
        {"data": {field: files.address(kept[place.index], prefix), **place.data(losses)}}
        for place in order(losses, options, meaningful=meaningful)
    ]
    return Ranked(tasks, skipped, meaningful, str(quality.get("reason", "")))


@dataclass(frozen=True)
class Place:
    """One image in the order: its index, its rank by loss from 1, PT4AL's batch, and the query that takes it."""

    index: int
    rank: int
    batch: int
    query: int

    def data(self, losses: NDArray[np.float64]) -> Json:
        """What the task's data says of it, as numbers that the Data Manager can filter by."""
        loss = float(losses[self.index])
        return {"pt4al_loss": loss, "pt4al_rank": self.rank, "pt4al_batch": self.batch, "pt4al_query": self.query}


def order(losses: NDArray[np.float64], options: ProjectSettings, *, meaningful: bool = True) -> list[Place]:
    """The order in which a project with these settings would ask, without ever getting a model.

    Query after query of the size that the settings give for this pool, each by the strategy's rule over what is left.
    If the ranking means nothing the strategies ask uniformly.
    """
    n = len(losses)
    ids = np.arange(n, dtype=np.int64)
    ranking = by_loss(losses, ids)
    known = losses if meaningful else np.full(n, np.nan)
    plan = rounds.schedule(n, options)
    strategy = rounds.strategy_of(options, plan.rounds)
    batches = rounds.cut(ids, known, plan.rounds, options.seed)
    rank_of = np.empty(n, np.int64)
    rank_of[ranking] = np.arange(1, n + 1)
    left, places = ranking, list[Place]()  # in ranked order, which makes the strategies' sorting cheap
    number = 0
    while len(left):
        number += 1
        pool = Pool(ids[left], known[left], batches[left])
        rng = np.random.default_rng([options.seed, number])
        query = strategy.query(Request(pool, number, plan.query, plan.query, rng))
        for index in left[query.positions].tolist():
            places.append(Place(index, int(rank_of[index]), int(batches[index]), number))
        left = np.delete(left, query.positions)
    return places


class _Reader:
    """Decodes files once, into the pixel file; ``shape`` and ``stored`` are known afterwards."""

    def __init__(self, task: str, settings: ServerSettings, options: ProjectSettings, paths: Sequence[Path]) -> None:
        self.task = task
        self._settings = settings
        self._options = options
        self._paths = paths
        self.shape: Shape = (0, 0)
        self.stored: Shape = (0, 0)

    def read(self, target: Path, report: Report) -> tuple[list[Path], Skipped]:
        """Fills ``target``, row by row, with what can be read; returns (the files of the rows, the others with reasons)."""
        kept: list[Path] = []
        skipped: Skipped = []
        with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="decode") as pool:
            self._decide_shape(pool)
            self._check_space(target.parent)
            with FrameFile(target, self.stored) as pixels:
                for chunk in _chunks(self._paths):
                    for path, (image, problem) in zip(chunk, pool.map(self._frame, chunk), strict=True):
                        if image is None:
                            skipped.append((path, problem))
                            continue
                        pixels.write(len(kept), image)
                        kept.append(path)
                    report({"phase": "reading images", "done": len(kept) + len(skipped), "total": len(self._paths)})
        return kept, skipped

    def _decide_shape(self, pool: ThreadPoolExecutor) -> None:
        sample = self._paths[:: max(1, len(self._paths) // SAMPLE)][:SAMPLE]
        sizes = [size for size in pool.map(self._size, sample) if size]
        self.shape, self.stored = choose(self.task, sizes, gpu=self._settings.has_gpu, requested=self._options.image_size)

    def _check_space(self, folder: Path) -> None:
        needed = len(self._paths) * self.stored[0] * self.stored[1] * 3 + SPARE_BYTES
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise ConfigError(
                f"Ranking {len(self._paths):,} images takes {needed / 1e9:.1f} GB of disk; {free / 1e9:.1f} GB are free.",
                f"Free space, or let PT4AL_DATA_DIR name a larger disk than {self._settings.data_dir} is on.",
            )

    def _size(self, path: Path) -> tuple[int, int] | None:
        try:
            return self._open(path, None).size
        except ImageUnreadable:
            return None

    def _frame(self, path: Path) -> tuple[NDArray[np.uint8] | None, str]:
        try:
            return KEEP[self.task](self._open(path, max(self.stored)), self.stored), ""
        except ImageUnreadable as error:
            return None, str(error)

    def _open(self, path: Path, size_hint: int | None) -> Image.Image:
        try:
            if path.stat().st_size > self._settings.image_max_bytes:
                raise ImageUnreadable(
                    f"The file is longer than {self._settings.image_max_bytes:,} bytes.", "Raise PT4AL_IMAGE_MAX_BYTES."
                )
            data = path.read_bytes()
        except OSError as error:
            raise ImageUnreadable(f"The file cannot be read ({error.strerror or type(error).__name__}).") from error
        return decode(data, self._settings.image_max_pixels, size_hint)


def _chunks(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    return (paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK))


def _losses(
    work: Path, settings: ServerSettings, options: ProjectSettings, reader: _Reader, images: int, report: Report
) -> tuple[NDArray[np.float64], Json]:
    """Pretext losses float64 [images], and the manifest's word on whether they mean anything."""
    job = {
        "kind": "rank",
        "task": reader.task,
        "masks": None,
        "settings": options.model_dump(mode="json"),
        "device": settings.device,
        "pretrained": settings.pretrained,
        "pixels": str(work / "pixels.u8"),
        "shape": reader.shape,
        "stored": reader.stored,
        "learner": None,
    }
    runner.prepare(work / "job", job, rows=np.arange(images, dtype=np.int64))
    try:
        result = runner.run(work / "job", report, on_tick=lambda: None)
    except TrainingImpossible as error:
        log = work / "job" / "log.txt"  # goes with the folder, so its end goes into the message
        if str(log) not in error.remedy:
            raise
        tail = " ".join(log.read_text(errors="replace").split())[-1500:]
        raise TrainingImpossible(error.message, f"Its log ends: {tail}") from error
    losses = np.load(result / "losses.npy", allow_pickle=False)
    return losses, dict(artefacts.manifest(result)["quality"])


def write(path: Path, tasks: Sequence[Json]) -> None:
    """Writes tasks for import in Label Studio, one in a line; a file of that name is replaced once all is written."""
    lines = ",\n".join(json.dumps(task) for task in tasks)
    artefacts.atomic_write(path, f"[\n{lines}\n]\n".encode())
