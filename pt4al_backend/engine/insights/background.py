"""What pages show and what takes seconds or more is computed here: by the worker, in the background, beside the looks.

A thread of its own takes one project at a time. No look waits for it, and it holds no lease: it changes nothing in the state,
and what it finds becomes an artefact in one step. Each insight first compares a few columns of the project with what its
artefact was made of, so that asking for one that is up to date costs next to nothing.
"""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Condition, Thread
from typing import NamedTuple

from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.insights import nearest, pool_estimate, quality
from pt4al_backend.engine.snapshot import Snapshot, Superseded
from pt4al_backend.engine.staleness import Basis
from pt4al_backend.errors import PT4ALError
from pt4al_backend.state.lease import locked
from pt4al_backend.state.paths import insights_lease
from pt4al_backend.state.store import Store

log = logging.getLogger(__name__)

#: Before what has failed is tried again, if the project gets no further meanwhile.
RETRY_SECONDS = 600.0

#: Computes what is out of date, and nothing if nothing is.
Insight = Callable[[Snapshot], None]

#: The file that is locked by who computes them for a project.
LeasePath = Callable[[ServerSettings, int], Path]

#: Those that pages show and that take seconds, the quick ones first.
INSIGHTS: tuple[Insight, ...] = (nearest.refresh, quality.refresh, pool_estimate.refresh)


class _Failure(NamedTuple):
    """What an insight that failed was made of, such as a model that was being replaced, and when it is tried again anyway."""

    basis: Basis
    retry_at: float


class Insights:
    """Keeps the insights of projects up to date.

    A worker process has one for what takes seconds, and others with a ``lease`` of their own for what takes minutes.
    """

    def __init__(
        self, settings: ServerSettings, store: Store, insights: Sequence[Insight] = INSIGHTS, lease: LeasePath = insights_lease
    ) -> None:
        self._settings, self._store, self._insights, self._lease = settings, store, insights, lease
        self._wanted: dict[int, None] = {}
        self._failed: dict[tuple[int, str], _Failure] = {}
        self._changed = Condition()

    def start(self) -> None:
        """Begins to work. The thread ends with the process: what it had not finished is computed again."""
        Thread(target=self._work, name="insights", daemon=True).start()

    def request(self, project_id: int) -> None:
        """Asks for the insights of a project, behind those that wait. Returns at once."""
        with self._changed:
            self._wanted[project_id] = None
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._wanted:
                    self._changed.wait()
                project_id = next(iter(self._wanted))
                del self._wanted[project_id]
            try:
                self.refresh(project_id)
            except Exception:  # such as a database that cannot be reached: the next request may find it again
                log.exception("Project %s: its pages are not brought up to date.", project_id)

    def refresh(self, project_id: int) -> None:
        """Computes what is out of date of a project, unless another worker is at it. Errors go to the log."""
        with locked(self._lease(self._settings, project_id)) as lease:
            project = self._store.project(project_id)
            if lease is None or project is None:
                return
            try:
                snapshot = Snapshot.of(self._settings, self._store, project)
            except PT4ALError as error:
                log.warning("Project %s: its pages are not brought up to date. %s", project_id, error)
                return
            for insight in self._insights:
                self._refresh(insight, snapshot)

    def _refresh(self, insight: Insight, snapshot: Snapshot) -> None:
        number, name = snapshot.project.id, insight.__module__.rpartition(".")[2]
        basis, failed = Basis.of(snapshot.project), self._failed.get((number, name))
        if failed is not None and failed.basis == basis and time.monotonic() < failed.retry_at:
            return
        try:
            insight(snapshot)
        except Superseded:
            log.info("Project %s is gone: nothing more is computed for its pages.", number)
        except Exception as error:  # what goes wrong here must not stop the labelling
            self._failed[number, name] = _Failure(basis, time.monotonic() + RETRY_SECONDS)
            if isinstance(error, PT4ALError):
                log.warning("Project %s: %s is not brought up to date. %s", number, name, error)
            else:
                log.exception("Project %s: %s is not brought up to date.", number, name)
