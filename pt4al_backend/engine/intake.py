"""Intake: every image is fetched, checked, decoded once and kept as a small frame.

What cannot be read is set aside with its reason; the rest is taken in.
"""

import logging
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pt4al_backend.aliases import Ids
from pt4al_backend.config import ProjectSettings, ServerSettings
from pt4al_backend.engine import sync
from pt4al_backend.engine.access import fetcher_for
from pt4al_backend.engine.context import Context, Outcome
from pt4al_backend.engine.during_jobs import keep_serving, report
from pt4al_backend.engine.sharing.missing_frames import MissingFrames
from pt4al_backend.errors import ImageUnreadable
from pt4al_backend.images import frame_file
from pt4al_backend.images.decode import Decoded, decode
from pt4al_backend.images.fetch import Fetcher
from pt4al_backend.images.frame_file import FrameFile
from pt4al_backend.images.frames import KEEP, SAMPLE, choose, digest, readable_sizes
from pt4al_backend.jobs.folder import forget_unfinished
from pt4al_backend.jobs.object_store import ObjectStore
from pt4al_backend.jobs.shared_rows import SharedRows
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress
from pt4al_backend.state.paths import frames_path, project_dir, rows_in_store
from pt4al_backend.state.schema import Project, ProjectColumns
from pt4al_backend.state.store import Store

log = logging.getLogger(__name__)

THREADS = 8
CHECKED = 256  # rows between two reports of a check
TURN_SECONDS = 60.0  # of fetching, before other projects get their turn
CHUNK = 256  # images between two commits: the most that are fetched again after a crash
NO_FRAMES: ProjectColumns = {
    "image_height": None,
    "image_width": None,
    "stored_height": None,
    "stored_width": None,
    "frames_suspect": False,
    "learner": "",
    "learner_pool": 0,
}
RETRY_SECONDS = 300.0  # before an image is fetched again whose host did not answer
REFETCH_SECONDS = 3600.0  # before any other image is: its file or its storage may have been repaired


@dataclass(frozen=True, eq=False)
class Fetched:
    """One task's image: its frame uint8 [h, w, 3], size (width, height) and note, or why there is none, for good or not."""

    task_id: int
    reference: str
    frame: NDArray[np.uint8] | None = None
    size: tuple[int, int] = (0, 0)
    note: str = ""
    problem: str = ""
    transient: bool = False


class Taken(NamedTuple):
    """The tasks whose image was taken in, and whether nothing is left that is due."""

    ids: list[int]
    is_all: bool


class Intake:
    """Fills one project's frame file with frames for the main task ``task``; ``shared`` may have those of other hosts."""

    def __init__(
        self,
        store: Store,
        settings: ServerSettings,
        fetcher: Fetcher,
        project: Project,
        options: ProjectSettings,
        task: str,
        shared: ObjectStore | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._fetcher = fetcher
        self._project = project
        self._options = options
        self._task = task
        self._shared = shared

    def run(self, on_progress: Callable[[int, int], None]) -> Taken:
        """Fetches what is missing and due, for as long as its turn is.

        Reports (done, of) after each image, so that nobody waits for a slow host.
        """
        if self._project.stored_shape and self._fits_no_more():
            self._start_over()
        if not self._forget_damaged(on_progress):
            return Taken([], is_all=False)
        self._digest_stored(on_progress)
        taken = self._fetch_due(on_progress)
        self._notice("")
        return taken

    def _fetch_due(self, on_progress: Callable[[int, int], None]) -> Taken:
        now, end = time.time(), time.monotonic() + TURN_SECONDS
        total, done, taken = self._store.to_fetch_count(self._project.id, now), 0, list[int]()
        if not total:
            return Taken(taken, is_all=True)
        on_progress(0, total)
        with ThreadPoolExecutor(THREADS, thread_name_prefix="fetch") as pool:
            while part := self._store.to_fetch(self._project.id, now, CHUNK):  # what cannot be read is not due any more
                if done and time.monotonic() > end:
                    return Taken(taken, is_all=False)
                if not self._project.stored_shape:
                    self._decide_shape(pool, part)
                fetched = []
                for each in pool.map(self._fetch, part):
                    fetched.append(each)
                    done += 1
                    on_progress(done, max(total, done))
                taken += self._keep(fetched)
        return Taken(taken, is_all=True)

    def _forget_damaged(self, on_progress: Callable[[int, int], None]) -> bool:
        """Forgets the rows that the file has lost, so that their images are fetched again, and the jobs that may name them.

        Costs no more than a look at the file's size, unless that is too small or a job found a row that is not what was written.
        Returns whether its turn sufficed.

        Raises:
            ImageUnreadable: images that another host has stored cannot be fetched here now.
        """
        shape = self._project.stored_shape
        if not shape:
            return True
        path = frames_path(self._settings, self._project)
        if not path.is_file():
            frame_file.remove(path)
        is_suspect, allotted = self._project.frames_suspect, self._project.next_row
        late: dict[int, str] = {}
        with FrameFile(path, shape) as pixels:
            here = self._missing_frames(pixels) if self._settings.artefacts_url else None
            first = min(pixels.rows, here.filled.read() if here else allotted)
            if first >= allotted and not is_suspect:
                return True
            ids, rows = self._store.rows(self._project.id, 0 if is_suspect else first)
            lost = rows >= pixels.rows
            if is_suspect:
                for start in range(0, len(rows), CHECKED):
                    on_progress(start, len(rows))
                    lost[start : start + CHECKED] |= pixels.damaged(rows[start : start + CHECKED])
            if here:
                lost |= pixels.sums(rows) == 0
                left = self._lacking(here, ids[lost], rows[lost], late, on_progress)
                if left is None:
                    return False
                lost[lost] = left
                if not late:
                    here.filled.write(allotted)
        if lost.any():
            log.warning("Project %s: %s stored images are damaged or gone and are fetched again.", self._project.id, lost.sum())
            self._notice(f"{lost.sum()} stored images were damaged or gone. They are fetched again.")
        if lost.any() or is_suspect:
            forget_unfinished(project_dir(self._settings, self._project))
        self._store.forget_frames(self._project.id, ids[lost].tolist())
        if is_suspect:
            self._store.change(self._project, frames_suspect=False)
        if late:
            raise ImageUnreadable(
                f"{len(late):,} images that another host has stored cannot be fetched here now. {next(iter(late.values()))}",
                "See that this host reaches the images too. It is tried again with the next look; until then, the others go on.",
                transient=True,
            )
        return True

    def _missing_frames(self, pixels: FrameFile) -> MissingFrames:
        name = f"{rows_in_store(self._project)}/{pixels.path.name}"
        return MissingFrames(pixels, SharedRows(self._shared, name, pixels) if self._shared else None)

    def _lacking(
        self,
        here: MissingFrames,
        ids: Ids,
        rows: NDArray[np.int64],
        late: dict[int, str],
        on_progress: Callable[[int, int], None],
    ) -> NDArray[np.bool_] | None:
        """Gets the frames of tasks that another host has stored; bool [m]: those whose images are gone for good.

        None if its turn was over before. ``late`` gets those that cannot be fetched now, and why: that is about this host, not
        the images.
        """
        brought = here.bring(ids, rows, self._store.digests(self._project.id, ids.tolist()), on_progress)
        if brought is None:
            return None
        lacking = ~brought
        frames_of = partial(self._frames_of, late, here)
        refilled = here.refill(ids[lacking], rows[lacking], frames_of, on_progress)
        if refilled is None:
            return None
        lacking[lacking] = ~refilled
        return lacking & ~np.isin(ids, list(late))

    def _frames_of(
        self, late: dict[int, str], here: MissingFrames, ids: Sequence[int], pool: ThreadPoolExecutor
    ) -> dict[int, NDArray[np.uint8]]:
        """Frames of tasks that have a row already, as another host has them; without those that cannot be read."""
        found = list(pool.map(self._fetch, self._store.task_images(self._project.id, ids).items()))
        frames = {each.task_id: each.frame for each in found if each.frame is not None}
        late |= {each.task_id: each.problem for each in found if each.frame is None and (each.transient or here.is_store_away)}
        self._store.put_digests(self._project.id, {task_id: digest(frame) for task_id, frame in frames.items()})
        return frames

    def _digest_stored(self, on_progress: Callable[[int, int], None]) -> None:
        """Finds identical images among those whose frames earlier versions stored, or were stored when this was killed."""
        total, done = self._store.undigested_count(self._project.id), 0
        if not total or not self._project.stored_shape:
            return
        with FrameFile(frames_path(self._settings, self._project), self._project.stored_shape) as stored:
            while done < total:
                on_progress(done, total)  # may give tasks other images: which come next is read afterwards
                ids, rows = self._store.without_digest(self._project.id, CHECKED)
                if not len(ids):
                    return
                digests = map(digest, stored.read(rows))
                self._store.put_digests(self._project.id, dict(zip(ids.tolist(), digests, strict=True)))
                done += len(ids)

    def _notice(self, sentence: str) -> None:
        self._store.notice(self._project, "frames", sentence)

    def _fits_no_more(self) -> bool:
        return self._project.task != self._task or self._options.image_size not in (None, self._project.requested_size)

    def _start_over(self) -> None:
        """Another image size was set, or another task: frames, ranking and unfinished trainings of the old shape go."""
        folder = project_dir(self._settings, self._project)
        for pattern in ("pixels-*", "rank-*", "score", f"learn-{self._project.round}"):
            for path in folder.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._store.clear_tasks(self._project.id, row=None, frame="", copy_of=None, loss=None, batch=0)
        self._store.change(self._project, **NO_FRAMES)

    def _decide_shape(self, pool: ThreadPoolExecutor, part: Sequence[tuple[int, str]]) -> None:
        """Decides by the first images that can be read; leaves it open if there is none among ``part``."""
        for start in range(0, len(part), SAMPLE):
            sizes = readable_sizes(part[start : start + SAMPLE], lambda task: self._open(*task).size, pool)
            if sizes:
                requested = self._options.image_size
                image, stored = choose(self._task, sizes, gpu=self._settings.has_gpu, requested=requested)
                columns: ProjectColumns = {
                    "task": self._task,
                    "requested_size": requested,
                    "image_height": image[0],
                    "image_width": image[1],
                    "stored_height": stored[0],
                    "stored_width": stored[1],
                }
                self._store.change(self._project, **columns)
                return

    def _open(self, task_id: int, reference: str) -> Decoded:
        data = self._fetcher.fetch(reference, task_id)
        hint = max(self._project.stored_shape or (0,))
        return decode(data, self._settings.image_max_pixels, hint)

    def _fetch(self, task: tuple[int, str]) -> Fetched:
        try:
            image, size, notes = self._open(*task)
        except ImageUnreadable as error:
            return Fetched(*task, problem=str(error), transient=error.transient)
        shape = self._project.stored_shape
        if not shape:
            return Fetched(*task, problem="A moment ago it could not be read. It is tried again later.", transient=True)
        return Fetched(*task, KEEP[self._task](image, shape), size, " ".join(notes))

    def _keep(self, fetched: Sequence[Fetched]) -> list[int]:
        """Returns the tasks whose image was taken in; those that were given another one meanwhile stay due."""
        named = self._store.task_images(self._project.id, [each.task_id for each in fetched])
        fetched = [each for each in fetched if named.get(each.task_id) == each.reference]
        good = [(each, each.frame) for each in fetched if each.frame is not None]
        bad = [each for each in fetched if each.frame is None]
        rows = self._store.take_rows(self._project, len(good)) if good else range(0)
        if good and self._project.stored_shape:
            with FrameFile(frames_path(self._settings, self._project), self._project.stored_shape) as pixels:
                for place, (_, frame) in zip(rows, good, strict=True):
                    pixels.write(place, frame)
                pixels.flush()
        read: dict[str, Sequence[Any]] = {
            "id": [each.task_id for each, _ in good],
            "row": rows,
            "width": [each.size[0] for each, _ in good],
            "height": [each.size[1] for each, _ in good],
            "image_note": [each.note for each, _ in good],
            "problem": [""] * len(good),
            "retry_at": [None] * len(good),
        }
        self._store.set_tasks(self._project.id, read)
        self._store.put_digests(self._project.id, {each.task_id: digest(frame) for each, frame in good})
        now = time.time()
        unread: dict[str, Sequence[Any]] = {
            "id": [each.task_id for each in bad],
            "problem": [each.problem for each in bad],
            "retry_at": [now + (RETRY_SECONDS if each.transient else REFETCH_SECONDS) for each in bad],
        }
        self._store.set_tasks(self._project.id, unread)
        return [each.task_id for each, _ in good]


def step(ctx: Context) -> Outcome:
    """Takes in the images that are missing, and keeps serving meanwhile."""

    def on_progress(done: int, total: int) -> None:
        report(ctx, Progress(Phase.FETCHING_IMAGES, done=done, total=total))
        keep_serving(ctx)

    shared = ctx.resources.shared.store if ctx.resources.shared else None
    with fetcher_for(ctx.settings, ctx.project, ctx.reader.config) as fetcher:
        intake = Intake(ctx.store, ctx.settings, fetcher, ctx.project, ctx.options, ctx.reader.task, shared)
        taken = intake.run(on_progress)
    sync.read_again(ctx, taken.ids)
    return Outcome.DONE if taken.is_all else Outcome.UNFINISHED
