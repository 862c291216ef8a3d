"""Image files, decoded once into the frames that a training reads."""

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.errors import ConfigError, ImageUnreadable
from pt4al_backend.images.decode import decode
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.frames import KEEP, SAMPLE, Shape, choose, digest, readable_sizes
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress, Report

CHUNK = 256  # images decoded ahead
SPARE_BYTES = 500_000_000  # left free on the disk, for checkpoints and everybody else

Skipped = list[tuple[Path, str]]
Copies = list[tuple[Path, Path]]


class Reader:
    """Decodes files once, into the frame file; ``shape`` and ``stored`` are known afterwards."""

    def __init__(self, task: str, settings: ServerSettings, options: ProjectSettings, paths: Sequence[Path]) -> None:
        self.task = task
        self._settings = settings
        self._options = options
        self._paths = paths
        self.shape: Shape = (0, 0)
        self.stored: Shape = (0, 0)

    def read(self, target: Path, report: Report) -> tuple[list[Path], Skipped, Copies]:
        """Fills ``target``, row by row, with what can be read; of identical images with the first.

        Returns:
            The files of the rows; those that cannot be read, with their reasons; copies, each with the file that it repeats.
        """
        kept: list[Path] = []
        skipped: Skipped = []
        copies: Copies = []
        first: dict[str, Path] = {}
        with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="decode") as pool:
            self._decide_shape(pool)
            self._check_space(target.parent)
            with FrameFile(target, self.stored) as frames:
                for chunk in _chunks(self._paths):
                    for path, (image, problem) in zip(chunk, pool.map(self._frame, chunk), strict=True):
                        if image is None:
                            skipped.append((path, problem))
                            continue
                        if (same := first.setdefault(digest(image), path)) is not path:
                            copies.append((path, same))
                            continue
                        frames.write(len(kept), image)
                        kept.append(path)
                    done = len(kept) + len(skipped) + len(copies)
                    report(Progress(Phase.READING_IMAGES, done=done, total=len(self._paths)))
        return kept, skipped, copies

    def _decide_shape(self, pool: ThreadPoolExecutor) -> None:
        sample = self._paths[:: max(1, len(self._paths) // SAMPLE)][:SAMPLE]
        sizes = readable_sizes(sample, lambda path: self._open(path, None).size, pool)
        self.shape, self.stored = choose(self.task, sizes, gpu=self._settings.has_gpu, requested=self._options.image_size)

    def _check_space(self, folder: Path) -> None:
        needed = len(self._paths) * self.stored[0] * self.stored[1] * 3 + SPARE_BYTES
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise ConfigError(
                f"Ranking {len(self._paths):,} images takes {needed / 1e9:.1f} GB of disk; {free / 1e9:.1f} GB are free.",
                f"Free space, or let PT4AL_DATA_DIR name a larger disk than {self._settings.data_dir} is on.",
            )

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
        return decode(data, self._settings.image_max_pixels, size_hint).image


def _chunks(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    return (paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK))
