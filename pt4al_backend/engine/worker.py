"""The round engine: one idempotent function moves a project forward from whatever state is on disk.

Webhooks, the button, the command line and the poll only request it, so that lost, doubled or reordered events change nothing
but the delay. While a child process trains, the engine keeps serving: it takes over answers, and lengthens the queue when it
runs short.
"""

import errno
import logging
import time
from collections.abc import Callable, Mapping

from sqlalchemy.exc import DBAPIError

from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.context import GOES_ON, Outcome, Paused, Resources, connect
from pt4al_backend.engine.device import Device
from pt4al_backend.engine.disconnected import NotConnected, let_go
from pt4al_backend.engine.during_jobs import SettingsChanged
from pt4al_backend.engine.reconcile import reconcile
from pt4al_backend.engine.work_queue import QUEUE_ERRORS
from pt4al_backend.errors import Part, PT4ALError, StoreCorrupt
from pt4al_backend.jobs.run import Runner, runner_of, sharing
from pt4al_backend.jobs.shared_jobs import SharedJobs
from pt4al_backend.phases import Phase
from pt4al_backend.progress import Progress
from pt4al_backend.state.lease import Lease, LeaseLost
from pt4al_backend.state.schema import Project
from pt4al_backend.state.store import REMEDY, Store, cause_of

log = logging.getLogger(__name__)

#: What ends a look where it stands, in words.
ENDED_BY: Mapping[type[Exception], str] = {
    SettingsChanged: "its settings have changed",
    LeaseLost: "the lease is lost",
    Paused: "it is paused",
}


class Worker:
    """Reconciles projects. One per worker process; it runs one job at a time, so projects take turns.

    Args:
        runner: where jobs run; None: where the settings say.
        device: what they take turns at; None: the one that the settings name.
        doorbell: requests a look, after those that wait already: by a project whose turn is over, and for those that waited for
            the device. Without one, a project goes on at once, and the others wait for the next poll.
        insights: asks for what a project's pages show, once it waits for people; None: nobody computes that.
    """

    def __init__(
        self,
        settings: ServerSettings,
        store: Store,
        runner: Runner | None = None,
        *,
        device: Device | None = None,
        doorbell: Callable[[int], None] | None = None,
        insights: Callable[[int], None] | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._insights = insights
        where, shared = runner or runner_of(settings), SharedJobs.of(settings)
        self._resources = Resources(
            settings,
            store,
            sharing(where, settings, shared),
            device or Device.of(settings),
            doorbell,
            shared=shared,
        )

    def handle_request(self, project_id: int, train: bool = False) -> None:
        """Handles one request. If another thread or process holds the project, that one sees the request and handles it.

        Args:
            train: an earlier version queued it when Start Training was pressed, and has not noted that in the state.
        """
        self._store.request(project_id, train=train)
        while True:
            with self._store.lease(project_id) as lease:
                project = self._store.project(project_id)
                if lease is None or project is None:
                    return
                handled = self._look(project, lease)
            project = self._store.project(project_id)
            if project is None or project.requests == handled:
                return

    def _look(self, project: Project, lease: Lease) -> int:
        """Runs one reconcile; an error is stored where the user looks. Returns the last request that it handled."""
        if project.let_go_at is not None:
            self._store.change(project, requests_handled=project.requests)
            return project.requests
        handled = project.requests  # requests that come later deserve another look, whatever was seen of them meanwhile
        try:
            outcome = self._reconcile(project, lease)
        except (SettingsChanged, LeaseLost, Paused) as reason:
            log.info(
                "Project %s: %s; a training under way is resumed only as far as it still fits.",
                project.id,
                ENDED_BY[type(reason)],
            )
            return handled - 1  # so that another look follows at once
        except PT4ALError as error:
            log.warning("Project %s: %s", project.id, error)
            if isinstance(error, StoreCorrupt) and error.part is Part.FRAMES:
                self._store.change(project, frames_suspect=True)
                return handled - 1  # the next look checks every row, and fetches again what is damaged
            self._fail(project, handled, error.message, error.remedy)
        except OSError as error:
            log.exception("Project %s", project.id)
            full = "Free space on the disk of PT4AL_DATA_DIR."
            remedy = full if error.errno in (errno.ENOSPC, errno.EDQUOT) else "See the worker's log."
            self._fail(project, handled, f"The machine refused: {error.strerror or error}.", remedy)
        except DBAPIError as error:
            log.exception("Project %s", project.id)
            self._fail(project, handled, f"The state cannot be read or written ({cause_of(error)}).", REMEDY)
        except Exception as error:
            log.exception("Project %s", project.id)
            self._fail(
                project,
                handled,
                f"Internal error: {type(error).__name__}.",
                "The worker's log has the traceback: standard error of `pt4al start` or `pt4al worker`. Please report it.",
            )
        else:
            self._store.change(project, requests_handled=handled)
            if outcome is Outcome.DONE or (outcome in GOES_ON and not self._resources.retries.has_failed(project)):
                self._store.change(project, error="", remedy="", error_at=None)
            if outcome is Outcome.DONE and self._insights is not None:
                self._insights(project.id)
            if outcome is Outcome.UNFINISHED and not self._rings(project):
                return handled - 1
        return handled

    def _rings(self, project: Project) -> bool:
        """Requests another look behind those that wait; False if nobody would hear of it."""
        if self._resources.doorbell is None:
            return False
        try:
            self._resources.doorbell(project.id)
        except QUEUE_ERRORS as error:
            log.warning("Project %s goes on at once: %s", project.id, error)
            return False
        return True

    def _reconcile(self, project: Project, lease: Lease) -> Outcome:
        try:
            return reconcile(connect(self._resources, project, lease))
        except NotConnected as reason:
            lease.require()
            let_go(self._store, self._settings, project, reason)
            return Outcome.DONE

    def _fail(self, project: Project, handled: int, message: str, remedy: str) -> None:
        self._store.change(
            project,
            requests_handled=handled,
            phase=Phase.BLOCKED,
            progress=Progress(Phase.BLOCKED),
            error=message,
            remedy=remedy,
            error_at=time.time(),
        )
