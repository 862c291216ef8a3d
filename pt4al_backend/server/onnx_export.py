"""Models as ONNX: written by a process of its own when one is wanted, and kept beside the model."""

import logging
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from threading import Lock

from pt4al_backend import artefacts
from pt4al_backend.artefacts import MANIFEST
from pt4al_backend.errors import NotNow, PT4ALError, StoreCorrupt
from pt4al_backend.processes import bare_environment

log = logging.getLogger(__name__)

#: What writes them, and what that needs (see the module).
MODULE = "pt4al_backend.learn.onnx_graph"
LIBRARIES = ("onnx", "onnxscript")
MOST_SECONDS = 600.0

_one_at_a_time = Lock()


def onnx_of(result: Path) -> Path:
    """The file of the model in an artefact of a training; the first call takes some seconds.

    Raises:
        NotNow: the libraries are not installed, or another model is being written.
        StoreCorrupt: there is no such artefact any more.
        PT4ALError: it could not be written.
    """
    if any(find_spec(name) is None for name in LIBRARIES):
        raise NotNow("ONNX needs libraries that are not installed.", "pip install 'pt4al-backend[onnx]'")
    try:
        target = result.parent / f"model-{artefacts.digest(result / MANIFEST)[:12]}.onnx"
    except OSError as error:
        raise StoreCorrupt("The last model is missing.", "Start Training makes another one.") from error
    if target.exists():
        return target
    if not _one_at_a_time.acquire(blocking=False):
        raise NotNow("A model is being written as ONNX.", "Try again in a moment.")
    try:
        _write(result, target)
    finally:
        _one_at_a_time.release()
    return target


def _write(result: Path, target: Path) -> None:
    command = [sys.executable, "-m", MODULE, str(result), str(target)]
    try:
        subprocess.run(  # noqa: S603 - our own module
            command, capture_output=True, text=True, check=True, timeout=MOST_SECONDS, env=bare_environment()
        )
    except subprocess.TimeoutExpired as error:
        raise PT4ALError("Writing the model as ONNX took too long.", "Try again when the machine is less busy.") from error
    except subprocess.CalledProcessError as error:
        log.error("%s could not be written as ONNX:\n%s", result, error.stderr)
        raise PT4ALError(
            "The model could not be written as ONNX.",
            "The log of the web process has the reason. The folder with predict.py can be taken away all the same.",
        ) from error
