"""The log of the processes, on standard error. Its lines are cut, and what strangers can cause does not repeat without end."""

import logging
import sys
import time

from pt4al_backend.errors import shortened

LONGEST = 8000  # characters of one entry, its traceback among them
REPEAT_SECONDS = 10.0  # between two equal lines of a server's library
QUIET = ("huey", "alembic", "urllib3", "uvicorn")  # warnings alone
REPEATING = ("uvicorn.error", "asyncio")  # say the same of each broken request, and of each connection that is one too many


class _Cut(logging.Formatter):
    """Cuts the middle of an entry that is too long: the end of a traceback says what happened."""

    def format(self, record: logging.LogRecord) -> str:
        return shortened(super().format(record), LONGEST)


class _Seldom(logging.Filter):
    """Lets an equal line through once in `REPEAT_SECONDS`."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now, line = time.monotonic(), str(record.msg)[:200]
        if now - self._last.get(line, float("-inf")) < REPEAT_SECONDS:
            return False
        if len(self._last) > 100:
            self._last.clear()
        self._last[line] = now
        return True


def begin_log(name: str) -> None:
    """Lets this process log to standard error; each entry names it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Cut(f"%(asctime)s %(levelname)-7s {name:<6} %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for library in QUIET:
        logging.getLogger(library).setLevel(logging.WARNING)
    for library in REPEATING:
        logging.getLogger(library).addFilter(_Seldom())
