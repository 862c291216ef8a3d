"""The processes of this host that work through shards, and how far all are, on whichever hosts."""

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pt4al_backend.errors import StoreAway
from pt4al_backend.jobs.folder import prepare
from pt4al_backend.jobs.run import Runner
from pt4al_backend.jobs.shards.folder import WorkFolder
from pt4al_backend.jobs.shards.plan import Plan
from pt4al_backend.jobs.spec import ShardsSpec
from pt4al_backend.ops.rank_files.unfinished import quoted_log
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress, Report, TimeLeft

LOOK_SECONDS = 0.5


class _NotWanted(Exception):
    """Another worker has failed, or the command is ending."""


class Workers:
    """Runs ``spec.workers`` processes of this host, each in a folder of its own below ``folder``."""

    def __init__(self, folder: Path, spec: ShardsSpec, runner: Runner) -> None:
        self._folders = [folder / f"worker-{number + 1}" for number in range(spec.workers)]
        self._spec, self._runner = spec, runner
        self._under_way = [0] * spec.workers
        self._notes: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._is_over = threading.Event()

    def run(self, shared: WorkFolder, plan: Plan, report: Report) -> None:
        """Returns once all shards are done. Where one worker fails, the others end.

        Raises:
            PT4ALError: what the worker that failed said.
        """
        look = _Look(shared, plan, report)
        with ThreadPoolExecutor(len(self._folders), thread_name_prefix="worker") as pool:
            left: Sequence[Future[None]] = [pool.submit(self._work, number) for number in range(len(self._folders))]
            try:
                while left:
                    ended, waiting = wait(left, LOOK_SECONDS, FIRST_EXCEPTION)
                    while not self._notes.empty():
                        report(Progress(Phase.FEATURES, note=self._notes.get()))
                    for each in ended:
                        each.result()
                    left = list(waiting)
                    look(sum(self._under_way), again=not left)
            finally:
                self._is_over.set()

    def _work(self, number: int) -> None:
        def take(event: Progress) -> None:
            if event.note:
                self._notes.put(event.note)
            self._under_way[number] = event.done if event.done < event.total else 0

        def check() -> None:
            if self._is_over.is_set():
                raise _NotWanted

        folder = self._folders[number]
        prepare(folder, self._spec.model_copy(update={"tells": number == 0}))
        with quoted_log(folder):
            self._runner.run(folder, take, check)


class _Look:
    """Tells how many images are described, at intervals: each look at an object store is a request."""

    def __init__(self, shared: WorkFolder, plan: Plan, report: Report) -> None:
        self._shared, self._plan, self._report = shared, plan, report
        self._left, self._looks, self._done = TimeLeft(), 0, 0

    def __call__(self, under_way: int, *, again: bool) -> None:
        if again or self._looks % max(1, round(self._shared.seconds / LOOK_SECONDS)) == 0:
            with suppress(StoreAway):  # if it stays away, the workers say so
                self._done = sum(map(self._plan.count, self._shared.done(self._plan)))
        self._looks += 1
        event = Progress(Phase.FEATURES, done=min(self._done + under_way, self._plan.images), total=self._plan.images)
        self._report(replace(event, eta=self._left(event)))
