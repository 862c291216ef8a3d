"""What lies in the queue: JSON, which runs no code when it is read. Huey's own messages are pickled.

Redis is a server that others may reach, and the queue's file may be left by an earlier version. What is no message of ours is
dropped with a line in the log; the next poll makes up for it.
"""

import json
import logging
import time
from threading import Lock
from typing import Any

from huey import RedisHuey, SqliteHuey
from huey.registry import Message
from huey.serializer import Serializer

log = logging.getLogger(__name__)

LONGEST = 1000  # bytes of a message; ours have about a hundred
REPORT_SECONDS = 60.0  # between two lines about the same outage
RETRY_SECONDS = 1.0  # between two tries to read while the queue is away


class ForeignMessage(ValueError):
    """What was read is no message of ours."""


class JsonMessages(Serializer):  # type: ignore[misc]  # huey has no types
    """Writes a request as ``{"id": …, "name": …, "args": [project, train]}``."""

    def serialize(self, data: Any) -> bytes:
        """Message to bytes."""
        return json.dumps({"id": data.id, "name": data.name, "args": list(data.args)}).encode()

    def deserialize(self, data: bytes) -> Message:
        """Bytes to message.

        Raises:
            ForeignMessage: they are none of ours.
        """
        try:
            read = json.loads(bytes(data)) if len(data) <= LONGEST else None
        except (ValueError, RecursionError):
            read = None
        if not isinstance(read, dict) or set(read) != {"id", "name", "args"}:
            raise ForeignMessage
        args = read["args"]
        if not (isinstance(read["id"], str) and isinstance(read["name"], str) and isinstance(args, list)):
            raise ForeignMessage
        if [type(each) for each in args] != [int, bool]:
            raise ForeignMessage
        return Message(read["id"], read["name"], None, 0, 0, None, tuple(args), {})


class Outage:
    """The log of a queue that cannot be used: a line when that begins, one a minute, one when it is over."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._reported_at: float | None = None

    def note(self, error: Exception) -> None:
        """The queue could not be used."""
        with self._lock:
            now = time.monotonic()
            if self._reported_at is None or now - self._reported_at >= REPORT_SECONDS:
                self._reported_at = now
                log.warning("The queue cannot be used (%s: %.200s); trying again.", type(error).__name__, error)

    def end(self) -> None:
        """The queue could be used."""
        with self._lock:
            if self._reported_at is not None:
                self._reported_at = None
                log.info("The queue answers again.")


class _Sturdy:
    """Huey that drops foreign messages, and waits where it would log a traceback for each try."""

    def __init__(self, errors: tuple[type[Exception], ...], **options: Any) -> None:
        self._errors = errors
        self.outage = Outage()
        super().__init__(serializer=JsonMessages(), results=False, **options)  # type: ignore[call-arg]

    def dequeue(self) -> Any:
        """The next request; None if there is none, or the queue is away."""
        while True:
            try:
                data = self.storage.dequeue()  # type: ignore[attr-defined]
            except self._errors as error:
                self.outage.note(error)
                time.sleep(RETRY_SECONDS)
                return None
            self.outage.end()
            if data is None:
                return None
            try:
                return self.deserialize_task(data)  # type: ignore[attr-defined]
            except Exception:  # whatever it was, it must not keep the next one from being read
                log.warning("Dropped a message of %d bytes that is none of this version's.", len(data))

    def read_schedule(self, timestamp: Any = None) -> list[Any]:  # noqa: ARG002
        """Nothing is ever scheduled: requests are handled as soon as they can be."""
        return []


class SqliteMessages(_Sturdy, SqliteHuey):  # type: ignore[misc]
    """Messages in a file."""


class RedisMessages(_Sturdy, RedisHuey):  # type: ignore[misc]
    """Messages in Redis."""
