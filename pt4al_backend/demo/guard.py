"""``python -m pt4al_backend.demo.guard COMMAND…``: runs a command that ends when standard input closes.

The demo holds the other end of that pipe, so its servers end with it in whichever way it ends, ``kill -9`` included. The
guard asks the command to end, insists after ``PATIENCE`` seconds, and takes with it what the command started.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

PATIENCE = 20.0  # `pt4al start` gives its own children 15 s


def main(command: list[str]) -> int:
    """Runs ``command`` in a process group of its own; returns its exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the demo's to answer
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 - the demo's own command
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=_end, args=(child,), daemon=True).start())
    threading.Thread(target=_end_with_input, args=(child,), daemon=True).start()
    status = child.wait()
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # what it started and left behind
    return status if status >= 0 else 128 - status


def _end_with_input(child: "subprocess.Popen[bytes]") -> None:
    while os.read(0, 1):
        pass
    _end(child)


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
