"""What lies in the work queue: JSON, which runs no code when it is read. Huey's own messages are pickled.

Redis is a server that others may reach, and the queue's file may be left by an earlier version. What is no message of ours is
dropped with a line in the log; the next poll makes up for it.
"""

import json
import logging
import time
from typing import Any

from huey import Huey, RedisHuey
from huey.registry import Message
from huey.serializer import Serializer

from pt4al_backend.engine.work_queue.storage import QueueFile, QueueList
from pt4al_backend.state.outage import RETRY_SECONDS, Outage
from pt4al_backend.state.store import REMEDY

log = logging.getLogger(__name__)

LONGEST = 1000  # bytes of a message; ours have about a hundred


class ForeignMessage(ValueError):
    """What was read is not one of our messages."""


class JsonMessages(Serializer):  # type: ignore[misc]  # huey has no types
    """Writes a request as ``{"id": …, "name": …, "args": [project, train]}``."""

    def serialize(self, data: Any) -> bytes:
        """Message to bytes."""
        return json.dumps({"id": data.id, "name": data.name, "args": list(data.args)}).encode()

    def deserialize(self, data: bytes) -> Message:
        """Bytes to message.

        Raises:
            ForeignMessage: they are not ours.
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


class _Sturdy:
    """Huey that drops foreign messages, and waits where it would log a traceback for each try."""

    def __init__(self, errors: tuple[type[Exception], ...], **options: Any) -> None:
        self._errors = errors
        self.outage = Outage("The queue")
        super().__init__(serializer=JsonMessages(), results=False, **options)  # type: ignore[call-arg]

    def dequeue(self) -> Any:
        """The next request; None if there is none, or the queue is away."""
        while True:
            try:
                data = self.storage.dequeue()  # type: ignore[attr-defined]
            except self._errors as error:
                self.outage.note(error, REMEDY)
                time.sleep(RETRY_SECONDS)
                return None
            self.outage.over()
            if data is None:
                return None
            try:
                return self.deserialize_task(data)  # type: ignore[attr-defined]
            except Exception:  # whatever it was, it must not keep the next one from being read
                log.warning("Dropped a message of %d bytes that is none of this version's.", len(data))

    def is_revoked(self, task: Any, timestamp: Any = None, peek: bool = True) -> bool:  # noqa: ARG002
        """No request ever is. Asking the queue would lose the request if it went away just then, or held something of others."""
        return False

    def read_schedule(self, timestamp: Any = None) -> list[Any]:  # noqa: ARG002
        """Nothing is ever scheduled: requests are handled as soon as they can be."""
        return []


class SqliteMessages(_Sturdy, Huey):  # type: ignore[misc]
    """Messages in a file."""

    def __init__(self, **options: Any) -> None:
        super().__init__(storage_class=QueueFile, **options)


class RedisMessages(_Sturdy, RedisHuey):  # type: ignore[misc]
    """Messages in Redis."""

    storage_class = QueueList
