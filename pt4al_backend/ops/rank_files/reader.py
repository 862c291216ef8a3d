"""Images, read and decoded once into the frames that a training reads."""

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.errors import BucketUnavailable, ConfigError
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.frames import SAMPLE, Shape, choose, digest, readable_sizes
from pt4al_backend.images.source_frames import Bounds, SourceFrame
from pt4al_backend.images.sources import Source
from pt4al_backend.ops.rank_files.unfinished import Outcome, Work
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress, Report, TimeLeft

CHUNK = 256  # images read between two notes of what became of them: the most that are read again after a crash
SPARE_BYTES = 500_000_000  # left free on the disk, for checkpoints and everybody else


class Reader:
    """Reads the images of ``source`` into the frame file of ``work``; of identical ones the first."""

    def __init__(self, task: str, settings: ServerSettings, options: ProjectSettings, source: Source, work: Work) -> None:
        self._task = task
        self._settings = settings
        self._options = options
        self._bounds = Bounds(settings.image_max_bytes, settings.image_max_pixels)
        self._source = source
        self._work = work

    def read(self, report: Report) -> tuple[Shape, Shape]:
        """Reads what was not read yet; ``work.outcomes`` says what became of each.

        Returns:
            Shape of the frames that networks see, and of those that are stored.

        Raises:
            ConfigError: too little disk.
            BucketUnavailable: the store fails or refuses; what was read is kept.
        """
        names, left = self._source.names, TimeLeft()
        with ThreadPoolExecutor(self._source.threads or os.cpu_count() or 1, thread_name_prefix="read") as pool:
            shape, stored = self._work.shapes() or self._decided(pool)
            self._check_space(stored)
            first = {each.frame: number for number, each in enumerate(self._work.outcomes) if each.frame}
            with FrameFile(self._work.frames, stored) as frames:
                while (done := len(self._work.outcomes)) < len(names):
                    event = Progress(Phase.READING_IMAGES, done=done, total=len(names))
                    report(replace(event, eta=left(event)))
                    chunk = self._chunk(pool, names[done : done + CHUNK], stored)
                    self._work.note(list(_kept(chunk, done, first, frames)))
            report(Progress(Phase.READING_IMAGES, done=len(names), total=len(names)))
        return shape, stored

    def _chunk(self, pool: ThreadPoolExecutor, names: Sequence[str], stored: Shape) -> list[SourceFrame]:
        """The frames of these images. Those that their store did not give are asked for once more, if it can be reached."""
        found = list(pool.map(lambda name: self._frame(name, stored), names))
        failed = [place for place, each in enumerate(found) if each.transient]
        if failed:
            self._source.require_reachable()
            for place, again in zip(failed, pool.map(lambda place: self._frame(names[place], stored), failed), strict=True):
                found[place] = again
        if all(each.transient for each in found) and not any(each.frame for each in self._work.outcomes):
            raise gives_none(names, found[0].problem)
        return found

    def _decided(self, pool: ThreadPoolExecutor) -> tuple[Shape, Shape]:
        names = self._source.names
        sample = names[:: max(1, len(names) // SAMPLE)][:SAMPLE]
        sizes = readable_sizes(sample, lambda name: self._bounds.size_of(self._source, name), pool)
        if not sizes:
            self._source.require_reachable()
        shapes = choose(self._task, sizes, gpu=self._settings.has_gpu, requested=self._options.image_size)
        self._work.keep_shapes(*shapes)
        return shapes

    def _check_space(self, stored: Shape) -> None:
        count = len(self._source.names) - len(self._work.outcomes)
        require_space(count, stored[0] * stored[1] * 3, self._work.folder)

    def _frame(self, name: str, stored: Shape) -> SourceFrame:
        return self._bounds.frame_of(self._source, name, self._task, stored)


def gives_none(names: Sequence[str], problem: str) -> BucketUnavailable:
    """That the store gives none of these images, for the ``problem`` of the first."""
    return BucketUnavailable(
        f"The store lists images, but gives none of the first {len(names)}. {names[0]}: {problem}",
        "Give the credentials the right to read objects (s3:GetObject), or name a folder that they may read.",
    )


def require_space(images: int, each: int, folder: Path) -> None:
    """Refuses a disk with too little room for so many bytes of each image.

    Raises:
        ConfigError: it has.
    """
    needed, free = images * each + SPARE_BYTES, shutil.disk_usage(folder).free
    if free < needed:
        raise ConfigError(
            f"Ranking {images:,} images takes {needed / 1e9:.1f} GB of disk; {free / 1e9:.1f} GB are free in {folder}.",
            "Free space, or let PT4AL_DATA_DIR or --work-dir name a folder on a larger disk.",
        )


def _kept(chunk: Sequence[SourceFrame], number: int, first: dict[str, int], frames: FrameFile) -> Iterator[Outcome]:
    """Stores the frames of images from ``number`` on; ``first`` has the number of the first image with each frame."""
    for each in chunk:
        if each.frame is None:
            yield Outcome(problem=each.problem)
        elif (same := first.setdefault(mark := digest(each.frame), number)) != number:
            yield Outcome(same=same)
        else:
            frames.write(len(first) - 1, each.frame)
            yield Outcome(frame=mark)
        number += 1
    frames.flush()
