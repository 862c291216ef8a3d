"""The web process' connections: how many there are, and how long a request's head may take.

uvicorn waits for a request without end, so clients that send a byte now and then would use up the process' file descriptors, and
nobody else could connect, /health included.
"""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 256
HEAD_SECONDS = 10.0  # from the connection, or from the first byte of a later request, to the end of its head
NEW_SECONDS = 1.0  # in which a client that is not slow has sent its request
EVENT_STREAMS = "/events"  # the end of their addresses
BACKLOG = 128  # connections that are accepted at a time


class Connection(H11Protocol):
    """One connection. With too many of them, the oldest that still owes a request, or the rest of one, makes room."""

    _opened_at = 0.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._opened_at = self.loop.time()
        if len(self.connections) > MOST_CONNECTIONS:
            self._make_room()
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        super().shutdown()
        if self.cycle is not None and self.cycle.scope["path"].endswith(EVENT_STREAMS):
            self.transport.close()  # an event stream has no end of its own to wait for

    @property
    def _owes_a_request(self) -> bool:
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def _watch(self) -> None:
        """Starts the clock where a head is awaited, and stops it where one is complete."""
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._unwatch()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self.conn.their_state is h11.IDLE:
            self._drop()

    def _make_room(self) -> None:
        """Drops the connection that is least missed: a silent one, else one whose body is slow, else one that just came."""
        others = [each for each in self.connections if isinstance(each, Connection) and each is not self]
        now = self.loop.time()

        def order(each: Connection) -> tuple[int, float]:
            if each.conn.their_state is not h11.IDLE:
                return 1, each._opened_at
            return (0 if now - each._opened_at > NEW_SECONDS else 2), each._opened_at

        min((each for each in others if each._owes_a_request), key=order, default=self)._drop()

    def _drop(self) -> None:
        self.connections.discard(self)  # at once: the loop closes it later, and the next one would count it again
        self.transport.abort()
