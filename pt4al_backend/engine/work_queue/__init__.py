"""Background work: the web process requests it, worker processes do it. Huey on SQLite by default, on Redis by URL."""

import logging
import sqlite3
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from threading import Event, Thread
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from pt4al_backend.config import ServerSettings
from pt4al_backend.engine.work_queue.messages import RedisMessages, SqliteMessages
from pt4al_backend.engine.work_queue.storage import pool
from pt4al_backend.errors import ConfigError
from pt4al_backend.state.store import REMEDY, Store

log = logging.getLogger(__name__)

#: What a queue raises that cannot be read or written.
QUEUE_ERRORS: tuple[type[Exception], ...] = (sqlite3.Error,)
if find_spec("redis"):
    from redis.exceptions import RedisError

    QUEUE_ERRORS += (RedisError,)

#: What the poll raises while the state or the queue is away.
AWAY: tuple[type[Exception], ...] = (DBAPIError, PoolTimeout, *QUEUE_ERRORS)


Work = Callable[[int, bool], None]


class WorkQueue:
    """The queue between web and worker. A request outlives every process, and costs about a millisecond.

    A request that waits already is not queued again: the look that it will get sees everything. So there is never more than one
    for each project, however long a training keeps the workers busy.

    Raises:
        ConfigError: the settings name a Redis, and its client is not installed.
    """

    def __init__(self, settings: ServerSettings) -> None:
        options: dict[str, Any] = {"name": "pt4al", "errors": QUEUE_ERRORS}
        if settings.redis_url:
            if find_spec("redis") is None:
                raise ConfigError("PT4AL_REDIS_URL is set, but redis is not installed.", "pip install 'pt4al-backend[redis]'")
            self._huey: Any = RedisMessages(connection_pool=pool(settings.redis_url), **options)
        else:
            self._huey = SqliteMessages(filename=str(settings.data_dir / "queue.sqlite3"), **options)
        self._settings = settings
        self._work: Work | None = None

        # Huey names a task by the module of its function: this wrapper gives web and worker the same name for it
        def reconcile(project_id: int, train: bool) -> None:
            if self._work is None:
                raise RuntimeError("this process only makes requests; a worker process handles them")
            self._work(project_id, train)

        self._reconcile = self._huey.task(name="reconcile")(reconcile)

    def request(self, project_id: int) -> None:
        """Requests that a worker looks at a project."""
        message = self._reconcile.s(project_id, False)  # earlier versions said here whether to train
        message.id = f"{project_id}"  # equal requests are equal messages
        self._huey.enqueue(message)

    def waiting(self) -> int:
        """Number of requests that no worker has taken yet."""
        return int(self._huey.pending_count())

    def consume(self, work: Work, projects: Callable[[], Iterable[int]]) -> None:
        """Works until the process is told to stop, and requests a look at every project each ``poll_seconds``.

        The poll makes up for lost webhooks: reconciling is idempotent, so an extra request only costs a look.

        Args:
            work: handles a request: which project, and whether to note that Start Training was pressed.
            projects: ids of the projects to poll.
        """
        self._work = work
        stopped = Event()

        def poll() -> None:
            while True:
                try:
                    for project_id in projects():
                        self.request(project_id)
                except AWAY as error:  # its own words: a traceback every half minute says no more
                    self._huey.outage.note(error, REMEDY)
                except Exception:
                    log.exception("The poll failed; the next one follows in %s s.", self._settings.poll_seconds)
                if stopped.wait(self._settings.poll_seconds):
                    return

        thread = Thread(target=poll, name="poll", daemon=True)
        thread.start()
        try:
            self._huey.create_consumer(
                workers=self._settings.workers, worker_type="thread", periodic=False, initial_delay=0.02, max_delay=0.1
            ).run()
        finally:
            stopped.set()
            thread.join()


def start_training(store: Store, queue: WorkQueue, project_id: int) -> None:
    """What pressing Start Training does. It is in the state before a worker hears of it, and outlives a lost message."""
    store.request(project_id, train=True)
    queue.request(project_id)
