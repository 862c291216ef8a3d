"""Our own pages as PDF, set by a process of its own, one at a time: it may be ended, and keeps no memory."""

import logging
import subprocess
import sys
from importlib.util import find_spec
from threading import BoundedSemaphore, Lock

from pt4al_backend.errors import NotNow, PT4ALError
from pt4al_backend.processes import bare_environment

log = logging.getLogger(__name__)

#: What sets them, what that needs of Python's, and its status where the system lacks something.
MODULE = "pt4al_backend.server.pdf_writer"
LIBRARIES = ("weasyprint", "babel")
MISSING = 3
MOST_SECONDS = 60.0
MOST_AT_ONCE = 4  # the one that is set, and those that wait: each holds a thread of those that answer Label Studio
LONGEST_LANGUAGES = 200

_admitted, _one_at_a_time = BoundedSemaphore(MOST_AT_ONCE), Lock()


def pdf_of(page: bytes, languages: str) -> bytes:
    """A page on one sheet of A4, in about two seconds.

    Args:
        page: its HTML in UTF-8.
        languages: whose customs numbers and times follow, as ``Accept-Language`` has them: the first that is known counts.

    Raises:
        NotNow: what sets it is not installed, or others are being set.
        PT4ALError: it could not be set.
    """
    if any(find_spec(name) is None for name in LIBRARIES):
        raise NotNow("PDF needs libraries that are not installed.", "pip install 'pt4al-backend[pdf]'")
    if not _admitted.acquire(blocking=False):
        raise NotNow("Other reports are being set.", "Try again in a moment.")
    try:
        with _one_at_a_time:
            return _set(page, languages[:LONGEST_LANGUAGES])
    finally:
        _admitted.release()


def _set(page: bytes, languages: str) -> bytes:
    command = [sys.executable, "-m", MODULE, languages]
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command, input=page, capture_output=True, timeout=MOST_SECONDS, env=bare_environment(), check=False
        )
    except subprocess.TimeoutExpired as error:
        raise PT4ALError("Making the PDF took too long.", "Try again when the machine is less busy.") from error
    if done.returncode == 0:
        return done.stdout
    log.error("A report could not be made a PDF:\n%s", done.stderr.decode(errors="replace"))
    if done.returncode == MISSING:
        raise NotNow(
            "PDF needs the library Pango, which this machine lacks.",
            "apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0, or brew install pango.",
        )
    raise PT4ALError(
        "The report could not be made a PDF.",
        "The log of the web process has the reason. The browser can print the page all the same.",
    )
