"""Run inside the image by docker/check.sh: is it complete, unprivileged, and does the backend come up in it?"""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

assert os.getuid() == 10001, f"the image runs as uid {os.getuid()}"
data = os.environ["PT4AL_DATA_DIR"]
assert os.access(data, os.W_OK), f"{data} cannot be written"
assert not os.access(os.path.dirname(os.__file__), os.W_OK), "the installed code can be changed"
assert not os.path.exists(os.environ["TORCH_HOME"]), "weights are baked in"

imports = "import pt4al_backend.child, pt4al_backend.predictor, torch, torchvision; torchvision.ops.nms; print(torch.__version__)"
torch = subprocess.run([sys.executable, "-c", imports], check=True, capture_output=True, text=True).stdout.strip()

backend = subprocess.Popen(["pt4al", "start"])
try:
    health = f"http://127.0.0.1:{os.environ['PT4AL_PORT']}/health"
    until = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(health, timeout=4) as answer:
                print("health:", answer.status, answer.read().decode())
                break
        except (urllib.error.URLError, OSError):
            assert backend.poll() is None, f"pt4al start ended with {backend.returncode}"
            assert time.monotonic() < until, "no answer from /health within 120 s"
            time.sleep(0.5)
finally:
    backend.terminate()
    assert backend.wait(60) in (0, -15, 143), f"pt4al start ended with {backend.returncode}"

installed = subprocess.run(["du", "-sm", "/usr/lib", "/usr/local"], capture_output=True, text=True).stdout
print(f"torch {torch}, uid {os.getuid()}, MB on disk:", *installed.split())
