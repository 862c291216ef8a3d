"""Where the messages lie: a file of SQLite, or a Redis. Both may be away, and come back."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import IO, Any

from huey.storage import RedisStorage, SqliteStorage

from pt4al_backend.locks import held

log = logging.getLogger(__name__)

CONNECT_SECONDS, ANSWER_SECONDS = 2.0, 10.0  # that Redis gets; a worker waits one second for a request


class QueueFile(SqliteStorage):  # type: ignore[misc]
    """Makes its tables when it is first used, and opens its file again after an error: the disk may have been read-only.

    A damaged file is made again. All it loses are requests, which the poll repeats.
    """

    def __init__(self, name: str, filename: str, **options: Any) -> None:
        super().__init__(name, filename=filename, create_tables=False, **options)
        self._path = Path(filename)
        self._ready = False
        self._opened = 0
        self._making = Lock()

    @contextmanager
    def db(self, commit: bool = False, close: bool = False) -> Iterator[Any]:
        self._prepare()
        try:
            with super().db(commit=commit, close=close) as cursor:
                yield cursor
        except sqlite3.Error:
            self._ready = False
            self.close()
            raise

    def enqueue(self, data: bytes, priority: int | None = None) -> None:
        """Adds a message, unless the same one waits already."""
        message = self.to_blob(data)
        waiting = "select 1 from task where queue = ? and data = ?"
        self.sql(
            f"insert into task (queue, data, priority) select ?, ?, ? where not exists ({waiting})",
            (self.name, message, priority or 0, self.name, message),
            commit=True,
        )

    def _prepare(self) -> None:
        with self._making:
            if self._ready and self._inode() == self._opened:
                return
            self.close()
            # one process finds it damaged, the next finds it made again
            with self._lock_file() as lock, held(lock, wait=True):
                try:
                    self._make()
                except sqlite3.DatabaseError as error:
                    self.close()
                    if isinstance(error, sqlite3.OperationalError):
                        raise
                    log.warning("The work queue's file is damaged and is made again.")
                    for end in ("", "-wal", "-shm"):
                        Path(f"{self._path}{end}").unlink(missing_ok=True)
                    self._make()
            self._opened = self._inode()
            self._ready = True

    def _lock_file(self) -> IO[str]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return self._path.with_suffix(".lock").open("a")
        except OSError as error:
            raise sqlite3.OperationalError(f"{self._path.parent} cannot be written: {error.strerror}") from error

    def _inode(self) -> int:
        """Number of the file; 0 if it was deleted, which this process would not notice otherwise."""
        return self._path.stat().st_ino if self._path.exists() else 0

    def _make(self) -> None:
        with super().db(commit=True) as cursor:
            for statement in self.ddl:
                cursor.execute(statement)
        # Not a flush to the disk for each request, behind which the next would wait: in WAL mode a power failure can
        # only cost the last ones, and the poll makes up for those.
        self.conn.execute("PRAGMA synchronous=NORMAL")


class QueueList(RedisStorage):  # type: ignore[misc]
    """A list of Redis."""

    def enqueue(self, data: bytes, priority: int | None = None) -> None:
        """Adds a message, unless the same one waits already; of two at the same moment both may be added."""
        if self.conn.lpos(self.queue_key, data) is None:
            super().enqueue(data, priority)


def pool(url: str) -> Any:
    """Connections to Redis that give up soon: Label Studio waits for the webhook's answer, and the page for the queue's."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    timeouts = {"socket_connect_timeout": CONNECT_SECONDS, "socket_timeout": ANSWER_SECONDS}
    return redis.ConnectionPool.from_url(url, retry=Retry(NoBackoff(), 1), **timeouts)
