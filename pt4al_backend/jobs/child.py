"""The training child: ``python -m pt4al_backend.jobs.child JOB_DIR``.

A process of its own, so that it can be killed and so that its memory goes back when it ends. It takes the job's lock
(and so waits for an orphan of an earlier worker), prints progress as JSON lines on standard output, and ends when the
process that started it is gone. Exit codes: 0 the result is there, 3 an expected error, which is the last line; anything
else is a crash, whose traceback is on standard error.

torchrun starts several, which share the job (see ``learn.peers``): the first locks it, reports progress and leaves the result.
"""

import errno
import faulthandler
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import NoReturn

from pt4al_backend import artefacts
from pt4al_backend.errors import PT4ALError, StoreCorrupt
from pt4al_backend.jobs.dispatch import work
from pt4al_backend.jobs.failure import Failure
from pt4al_backend.jobs.folder import CHECKPOINT, locked
from pt4al_backend.jobs.manifest import Manifest
from pt4al_backend.jobs.network_job import NetworkJob
from pt4al_backend.jobs.spec import JobSpec
from pt4al_backend.learn import peers
from pt4al_backend.learn.devices import share_cores
from pt4al_backend.processes import ORPHAN_SECONDS
from pt4al_backend.progress import Progress, TimeLeft

EXIT_ERROR = 3
EXIT_ORPHANED = 4

#: Folder of a peer's copy of the job, before its number.
COPY = "share-"

#: Seconds between two progress lines; the first and the last of a phase and every note pass at once.
INTERVAL = 0.5

#: Below the web process, whose answers are awaited in milliseconds.
NICENESS = 10
#: What is added where nobody waits for the job.
YIELDING = 9


class Channel:
    """The way back to the worker: JSON lines on what was standard output when the child started."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._out = os.dup(1)
        os.dup2(2, 1)  # whatever a library prints belongs in the log, not between the lines
        self._phase, self._reported = "", 0.0
        self._left = TimeLeft()

    def send(self, event: Progress | Failure) -> None:
        """Writes one line; ends the process if nobody is there to read it."""
        try:
            os.write(self._out, json.dumps(asdict(event)).encode() + b"\n")
        except BrokenPipeError:
            raise SystemExit(EXIT_ORPHANED) from None

    def end_with_parent(self) -> None:
        """Ends the process some time after the worker is gone if it reports nothing: one that hangs would keep the job's lock."""

        def watch() -> None:
            while not self._is_orphan():
                time.sleep(INTERVAL)
            time.sleep(ORPHAN_SECONDS)
            os._exit(EXIT_ORPHANED)

        threading.Thread(target=watch, name="parent", daemon=True).start()

    def _is_orphan(self) -> bool:
        return os.getppid() != self._parent

    def report(self, progress: Progress) -> None:
        """Reports progress, at intervals; ends the process if the worker is gone."""
        if self._is_orphan():
            raise SystemExit(EXIT_ORPHANED)
        if peers.number():
            return
        now, eta = time.monotonic(), self._left(progress)
        if progress.phase != self._phase:
            self._phase, self._reported = progress.phase, 0.0
        if not progress.note and (progress.share or 0.0) < 1 and now - self._reported < INTERVAL:
            return
        self._reported = now
        self.send(replace(progress, eta=eta))


def _remedy(error: OSError, folder: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"Free space on the disk that holds {folder.parent} (PT4AL_DATA_DIR), then train again."
    return f"Check that {folder.parent} (PT4AL_DATA_DIR) can be read and written."


def _is_done(job: NetworkJob[JobSpec]) -> bool:
    """Whether an orphan has done this very job in the meantime."""
    try:
        return Manifest.read(job.result).fingerprint == job.fingerprint
    except StoreCorrupt:
        return False


@contextmanager
def _taken(folder: Path) -> Iterator[Path]:
    """The job's folder, kept to this process and its peers; for all but the first a copy, from which nothing is kept."""
    if peers.number() == 0:
        with locked(folder, wait=True):
            artefacts.remove_leftovers(folder)
            peers.wait()
            yield folder
            peers.wait()
        return
    peers.wait()
    copy = folder / f"{COPY}{peers.number()}"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for file in {folder / CHECKPOINT, *filter(Path.is_file, folder.iterdir())}:
        (copy / file.name).symlink_to(file)
    try:
        yield copy
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    peers.wait()


def _work(folder: Path, channel: Channel) -> None:
    job: NetworkJob[JobSpec] = NetworkJob.read(folder)
    if job.spec.yields:
        os.nice(YIELDING)
    if not peers.agreed(_is_done(job)):
        work(job, channel.report)
    (folder / CHECKPOINT).unlink(missing_ok=True)


def run(folder: Path, channel: Channel) -> int:
    """Does the job in ``folder``; returns the exit code."""
    try:
        with _taken(folder) as own:
            _work(own, channel)
    except PT4ALError as error:
        channel.send(Failure(error.message, error.remedy, error.part if isinstance(error, StoreCorrupt) else None))
        return EXIT_ERROR
    except OSError as error:
        channel.send(Failure(f"{error.strerror or error}: {error.filename or folder}.", _remedy(error, folder)))
        return EXIT_ERROR
    peers.leave()
    return 0


def main() -> NoReturn:
    """Entry point of the process."""
    channel = Channel()
    channel.end_with_parent()
    faulthandler.register(signal.SIGTERM, chain=True)  # of a process that hangs the log says where
    os.nice(NICENESS)
    share_cores()
    peers.join()
    status = run(Path(sys.argv[1]), channel)
    sys.stderr.flush()
    os._exit(status)  # everything is on the disk; the interpreter would take another half a second to take torch apart


if __name__ == "__main__":
    main()
