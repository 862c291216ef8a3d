"""Step 2 of the engine: every image is fetched, checked, decoded once and kept as a small square.

What cannot be read is set aside with its reason; the rest goes on.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pt4al_backend.errors import ImageUnreadable
from pt4al_backend.fetching import Fetcher
from pt4al_backend.images import choose_size, decode, square
from pt4al_backend.pixels import Pixels
from pt4al_backend.schema import Project
from pt4al_backend.settings import ProjectSettings, Settings
from pt4al_backend.store import Store

THREADS = 8
CHUNK = 256  # images between two commits: so many are fetched again after a crash
SAMPLE = 32  # images that decide the size of all
RETRY_SECONDS = 300.0  # before a host that did not answer is asked again
LOOK_AGAIN_SECONDS = 3600.0  # before any other image is: its file or its storage may have been put right

Fetched = tuple[int, NDArray[np.uint8] | None, str, bool]  # task id, square, problem, whether it may pass


def has_gpu(settings: Settings) -> bool:
    """Whether training will run on a GPU, told without importing torch."""
    devices = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
    return settings.device == "cuda" or (settings.device == "auto" and any(Path(device).exists() for device in devices))


class Intake:
    """Fills one project's pixel file."""

    def __init__(self, store: Store, settings: Settings, fetcher: Fetcher, project: Project, options: ProjectSettings) -> None:
        self._store = store
        self._settings = settings
        self._fetcher = fetcher
        self._project = project
        self._options = options

    def run(self, on_progress: Callable[[int, int], None]) -> None:
        """Fetches all that is missing and due; reports (done, of) after each image, so that nobody waits for a slow host."""
        if self._options.image_size not in (None, self._project.image_size) and self._project.image_size:
            self._start_over()
        due = self._store.to_fetch(self._project.id, time.time())
        if not due:
            return
        row = self._store.next_row(self._project.id)
        on_progress(0, len(due))
        with ThreadPoolExecutor(THREADS, thread_name_prefix="fetch") as pool:
            for start in range(0, len(due), CHUNK):
                part = due[start : start + CHUNK]
                if not self._project.stored_size:
                    self._decide_size(pool, part)
                fetched = []
                for done, each in enumerate(pool.map(self._fetch, part), start + 1):
                    fetched.append(each)
                    on_progress(done, len(due))
                row = self._keep(fetched, row)

    def _start_over(self) -> None:
        """Another image size was asked for: squares, ranking and half-done trainings of the old size go."""
        folder = project_dir(self._settings, self._project.id)
        for pattern in ("pixels-*.u8", "rank-*", "score", f"learn-{self._project.round}"):
            for path in folder.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._store.clear_tasks(self._project.id, row=None, loss=None, batch=0)
        changes = {"image_size": None, "stored_size": None, "learner": "", "learner_pool": 0}
        self._store.update(self._project.id, **changes)
        for name, value in changes.items():
            setattr(self._project, name, value)

    def _decide_size(self, pool: ThreadPoolExecutor, part: Sequence[tuple[int, str]]) -> None:
        """Decides by the first images that can be read; leaves it open if there is none among ``part``."""
        for start in range(0, len(part), SAMPLE):
            sides = [side for side in pool.map(self._side, part[start : start + SAMPLE]) if side]
            if sides:
                size, stored = choose_size(sides, has_gpu(self._settings), self._options.image_size)
                self._store.update(self._project.id, image_size=size, stored_size=stored)
                self._project.image_size, self._project.stored_size = size, stored
                return

    def _side(self, task: tuple[int, str]) -> int:
        try:
            return min(self._open(*task).size)
        except ImageUnreadable:
            return 0

    def _open(self, task_id: int, reference: str) -> Image.Image:
        data = self._fetcher.fetch(reference, task_id)
        return decode(data, self._settings.image_max_pixels, self._project.stored_size)

    def _fetch(self, task: tuple[int, str]) -> Fetched:
        try:
            image = self._open(*task)
        except ImageUnreadable as error:
            return task[0], None, str(error), error.transient
        if not self._project.stored_size:
            return task[0], None, "A moment ago it could not be read. It is tried again later.", True
        return task[0], square(image, self._project.stored_size), "", False

    def _keep(self, fetched: Sequence[Fetched], row: int) -> int:
        good = [(task_id, image) for task_id, image, _, _ in fetched if image is not None]
        bad = [(task_id, problem, passing) for task_id, image, problem, passing in fetched if image is None]
        if good and self._project.stored_size:
            with Pixels(pixel_path(self._settings, self._project), self._project.stored_size) as pixels:
                for place, (_, image) in enumerate(good, row):
                    pixels.write(place, image)
                pixels.flush()
        ids, rows = [task_id for task_id, _ in good], range(row, row + len(good))
        read: dict[str, Sequence[Any]] = {"id": ids, "row": rows, "problem": [""] * len(good), "retry_at": [None] * len(good)}
        self._store.set_tasks(self._project.id, read)
        now = time.time()
        unread: dict[str, Sequence[Any]] = {
            "id": [task_id for task_id, _, _ in bad],
            "problem": [problem for _, problem, _ in bad],
            "retry_at": [now + (RETRY_SECONDS if passing else LOOK_AGAIN_SECONDS) for _, _, passing in bad],
        }
        self._store.set_tasks(self._project.id, unread)
        return row + len(good)


def project_dir(settings: Settings, project_id: int) -> Path:
    """Folder of a project's artefacts."""
    return settings.data_dir / "projects" / str(project_id)


def pixel_path(settings: Settings, project: Project) -> Path:
    """The pixel file of a project's stored size."""
    return project_dir(settings, project.id) / f"pixels-{project.stored_size}.u8"
