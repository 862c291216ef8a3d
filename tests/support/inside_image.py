"""Run inside the image by docker/check.sh: is it complete, unprivileged, and does the backend come up in it?"""

import os
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from pathlib import Path

IMPORTS = "import pt4al_backend.jobs.child, torch, torchvision; torchvision.ops.nms; print(torch.__version__, end='')"
START_SECONDS = 120.0


def check_user() -> None:
    """No root, no way to change the code, no weights; the volume can be written."""
    assert os.getuid() == 10001, f"runs as uid {os.getuid()}"
    assert os.access(os.environ["PT4AL_DATA_DIR"], os.W_OK), "the volume cannot be written"
    assert not os.access(sysconfig.get_path("purelib"), os.W_OK), "the installed code can be changed"
    assert not Path(os.environ["TORCH_HOME"]).exists(), "weights are baked in"


def check_training_imports() -> str:
    """What the training child imports; returns torch's version."""
    return subprocess.run([sys.executable, "-c", IMPORTS], check=True, stdout=subprocess.PIPE, text=True).stdout


def check_report() -> None:
    """The report can be set as PDF: what that needs of the system is there."""
    command = [sys.executable, "-m", "pt4al_backend.server.pdf_writer", "en"]
    done = subprocess.run(command, input=b"<title>t</title><p>one", stdout=subprocess.PIPE, check=True, timeout=60)
    assert done.stdout.startswith(b"%PDF"), "the report is no PDF"
    assert any(Path("/usr/share/fonts").rglob("*.ttf")), "there is no font, so the report has no letters"


def check_refusal() -> None:
    """The image listens for other machines, so it does not start without a password."""
    ended = subprocess.run(["pt4al", "start"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60)
    assert ended.returncode == 1, f"pt4al start without a password ended with {ended.returncode}"
    assert "BASIC_AUTH_USER" in ended.stderr, ended.stderr


def check_backend() -> str:
    """`pt4al start` answers /health, and ends when it is told to; returns the answer."""
    environment = {**os.environ, "BASIC_AUTH_USER": "check", "BASIC_AUTH_PASS": "check"}
    with subprocess.Popen(["pt4al", "start"], stdin=subprocess.DEVNULL, env=environment) as backend:
        try:
            return _health(backend)
        finally:
            backend.terminate()
            backend.wait(60)


def _health(backend: "subprocess.Popen[bytes]") -> str:
    url = f"http://127.0.0.1:{os.environ['PT4AL_PORT']}/health"
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=4) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            assert backend.poll() is None, f"pt4al start ended with {backend.returncode}"
            assert time.monotonic() < until, f"no answer from {url} within {START_SECONDS:g} s"
            time.sleep(0.5)


if __name__ == "__main__":
    check_user()
    check_report()
    check_refusal()
    sys.stdout.write(f"torch {check_training_imports()}; /health: {check_backend()}\n")
