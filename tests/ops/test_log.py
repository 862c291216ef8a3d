"""The processes' log: entries are cut, and equal lines of libraries do not repeat without end."""

import subprocess
import sys

SCRIPT = """
import logging
from pt4al_backend.ops.log import begin_log

begin_log("test")
for _ in range(1000):
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("asyncio").error("socket.accept() out of system resource")
logging.getLogger("pt4al_backend").warning("x" * 30_000_000)
try:
    raise ValueError("y" * 30_000_000)
except ValueError:
    logging.exception("failed")
logging.info("the end")
"""


def test_entries_are_cut_and_do_not_repeat_without_end() -> None:
    log = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stderr
    assert len(log) < 20_000
    assert log.count("Invalid HTTP request received.") == log.count("socket.accept()") == 1
    assert log.endswith("the end\n")
