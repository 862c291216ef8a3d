"""Server-sent events: pages that show a project hear when it has changed, and then read again what they show.

One look at the state serves all who listen to a project, and nobody looks where nobody listens.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator

from anyio import to_thread
from pydantic import BaseModel, Field

from pt4al_backend.engine.insights.last_found import Found
from pt4al_backend.errors import PT4ALError
from pt4al_backend.server.status import ProjectStatus, Statuses

log = logging.getLogger(__name__)

WATCH_SECONDS = 2.0
HEARTBEAT_SECONDS = 15.0  # in which a listener that has left is noticed
MOST_LISTENERS = 64  # each holds a connection, of which the web process takes 256
MEDIA_TYPE = "text/event-stream"
CAN_STREAM = "pt4al.can_stream"  # in the scope of a request: False where a server waits for the end of an answer


class NotListening(PT4ALError):
    """An event stream that is not opened; pages then ask now and then."""

    status = 503


class Change(BaseModel):
    """What an event says: that something has changed, and what is read most often."""

    revision: str = Field(description="another one whenever anything of the project's status is another")
    phase: str
    round: int
    labelled: int = Field(description="labelled tasks")
    aside: int = Field(description="tasks that are set aside")
    model_version: str = Field(description="the version that Label Studio serves")
    found: Found

    @classmethod
    def of(cls, status: ProjectStatus) -> "Change":
        """What there is to say of a status. When the last webhook came is no change: what it brought is."""
        text = status.model_dump_json(exclude={"webhook_at"})
        return cls(
            revision=hashlib.sha256(text.encode()).hexdigest()[:16],
            phase=status.phase,
            round=status.round,
            labelled=status.tasks.labelled,
            aside=status.aside_total,
            model_version=status.model_version,
            found=status.found,
        )


class Events:
    """The listeners of one app. All of it runs in the app's event loop."""

    def __init__(self, statuses: Statuses) -> None:
        self._statuses = statuses
        self._watches: dict[int, _Watch] = {}
        self._listeners = 0

    def listen(self, project_id: int) -> AsyncIterator[str]:
        """What is sent to one more listener: it ends when the project is forgotten or cannot be read, or the listener leaves.

        Raises:
            NotListening: there are too many.
        """
        if self._listeners >= MOST_LISTENERS:
            raise NotListening(f"There are {MOST_LISTENERS} listeners already.", "Close other pages of projects.")
        return self._sent(project_id)

    async def _sent(self, project_id: int) -> AsyncIterator[str]:
        watch = self._watches.setdefault(project_id, _Watch(self._statuses, project_id))
        watch.listeners += 1
        self._listeners += 1
        watch.begin()
        try:
            seen = ""
            while not watch.is_over:
                if watch.change is not None and watch.change.revision != seen:
                    seen = watch.change.revision
                    yield f"event: change\nid: {seen}\ndata: {watch.change.model_dump_json()}\n\n"
                    continue  # it may have changed while that was sent
                try:
                    await asyncio.wait_for(watch.turned.wait(), HEARTBEAT_SECONDS)
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            self._listeners -= 1
            watch.listeners -= 1
            if not watch.listeners or watch.is_over:
                watch.end()
                if self._watches.get(project_id) is watch:
                    del self._watches[project_id]


class _Watch:
    """Reads one project again and again for as long as somebody listens."""

    def __init__(self, statuses: Statuses, project_id: int) -> None:
        self._statuses = statuses
        self._project_id = project_id
        self._task: asyncio.Task[None] | None = None
        self.listeners = 0
        self.change: Change | None = None
        self.turned = asyncio.Event()  # set once: when ``change`` is another one, there is another event
        self.is_over = False

    def begin(self) -> None:
        """Begins to read, unless that has begun."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def end(self) -> None:
        """Reads no more."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        seen: ProjectStatus | None = None
        try:
            while (status := await to_thread.run_sync(self._statuses.of, self._project_id)) is not None:
                if status is not seen:  # the same one is given away until it may have changed
                    self._turn(Change.of(status))
                    seen = status
                await asyncio.sleep(WATCH_SECONDS)
        except Exception as error:  # who listens connects again, and is told by the answer
            log.warning("Project %s cannot be read for those who watch it: %s", self._project_id, type(error).__name__)
        self.is_over = True
        self.turned.set()

    def _turn(self, change: Change) -> None:
        if self.change is None or self.change.revision != change.revision:
            self.change = change
            before, self.turned = self.turned, asyncio.Event()
            before.set()
