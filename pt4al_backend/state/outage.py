"""What a process says and does while something that it needs is away: it waits, with one line in the log per interval."""

import logging
import time
from threading import Lock

log = logging.getLogger(__name__)

LOG_SECONDS = 30.0  # between two lines about the same outage
RETRY_SECONDS = 1.0  # between two tries


class Outage:
    """Whether one thing is away. Safe to share between threads.

    Args:
        what: the thing, as a sentence begins with it: "The state", "The queue".
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = Lock()
        self._since = self._logged = 0.0

    def note(self, error: Exception, remedy: str) -> None:
        """It did not answer: logged when it begins, then once per interval."""
        now = time.monotonic()
        with self._lock:
            self._since = self._since or now
            if self._logged and now - self._logged < LOG_SECONDS:
                return
            self._logged = now
        name = type(getattr(error, "orig", None) or error).__name__
        log.warning("%s cannot be used (%s); waiting for it. %s", self._what, name, remedy)

    def over(self) -> None:
        """It answered."""
        if self._since:
            with self._lock:
                since, self._since, self._logged = self._since, 0.0, 0.0
            if since:
                log.info("%s answers again, after %.0f s.", self._what, time.monotonic() - since)
